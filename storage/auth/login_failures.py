"""Consecutive wrong login codes for each phone, whether or not a user with this phone exists."""

from __future__ import annotations

from typing import NamedTuple

from storage.engine.connection import Connection


class LoginFailures(NamedTuple):
    """How many wrong codes came after the last right one; `last_at` is in epoch milliseconds."""

    consecutive: int = 0
    last_at: int = 0


def find(connection: Connection, phone: str) -> LoginFailures:
    row = connection.execute("SELECT failures, last_at FROM login_failures WHERE phone = ?", (phone,)).fetchone()
    return LoginFailures(*row) if row else LoginFailures()


def add(connection: Connection, phone: str, now: int) -> None:
    connection.execute(
        """
        INSERT INTO login_failures (phone, failures, last_at) VALUES (?, 1, ?)
        ON CONFLICT (phone) DO UPDATE SET failures = failures + 1, last_at = excluded.last_at
        """,
        (phone, now),
    )


def clear(connection: Connection, phone: str) -> bool:
    """Reset the count of a phone. Return whether there were failures."""
    return connection.execute("DELETE FROM login_failures WHERE phone = ?", (phone,)).rowcount == 1


def delete_before(connection: Connection, before: int) -> None:
    """Delete the counts whose last failure was before a time (epoch milliseconds)."""
    connection.execute("DELETE FROM login_failures WHERE last_at < ?", (before,))
