"""Wrong login codes given for a phone in a row, whether or not anybody has logged in with it."""

from __future__ import annotations

from typing import NamedTuple

from storage.engine.connection import Connection


class Failures(NamedTuple):
    """`last_at` in epoch milliseconds."""

    in_a_row: int = 0
    last_at: int = 0


def find(connection: Connection, phone: str) -> Failures:
    row = connection.execute("SELECT failures, last_at FROM login_failures WHERE phone = ?", (phone,)).fetchone()
    return Failures(*row) if row else Failures()


def add(connection: Connection, phone: str, now: int) -> None:
    connection.execute(
        """
        INSERT INTO login_failures (phone, failures, last_at) VALUES (?, 1, ?)
        ON CONFLICT (phone) DO UPDATE SET failures = failures + 1, last_at = excluded.last_at
        """,
        (phone, now),
    )


def clear(connection: Connection, phone: str) -> bool:
    """Whether there were any."""
    return connection.execute("DELETE FROM login_failures WHERE phone = ?", (phone,)).rowcount == 1


def forget(connection: Connection, before: int) -> None:
    """Forget the phones whose last failure was before a moment."""
    connection.execute("DELETE FROM login_failures WHERE last_at < ?", (before,))
