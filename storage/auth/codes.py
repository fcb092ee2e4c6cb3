"""The living login code of each phone."""

from __future__ import annotations

from dataclasses import dataclass

from storage.engine.connection import Connection


@dataclass(frozen=True, slots=True)
class Code:
    """`digest` is a keyed hash of the code; `expires_at` in epoch milliseconds."""

    phone: str
    digest: bytes
    expires_at: int


def put(connection: Connection, code: Code) -> None:
    """The phone's code from now on, in the place of any before it."""
    connection.execute(
        """
        INSERT INTO codes (phone, digest, expires_at) VALUES (?, ?, ?)
        ON CONFLICT (phone) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at, tries = 0
        """,
        (code.phone, code.digest, code.expires_at),
    )


def take_try(connection: Connection, phone: str, now: int, tries: int) -> bytes | None:
    """Count a try on the living code of this phone; its digest, or None when no try is left on it."""
    row = connection.execute(
        """
        UPDATE codes SET tries = tries + 1
        WHERE phone = ? AND tries < ? AND expires_at > ?
        RETURNING digest
        """,
        (phone, tries, now),
    ).fetchone()
    return row[0] if row else None


def spend(connection: Connection, phone: str, digest: bytes) -> bool:
    """Use a code up. False when somebody else has, or a newer one has taken its place."""
    spent = connection.execute("DELETE FROM codes WHERE phone = ? AND digest = ?", (phone, digest))
    return spent.rowcount == 1


def forget(connection: Connection, before: int) -> None:
    """Forget those that ended before a moment."""
    connection.execute("DELETE FROM codes WHERE expires_at < ?", (before,))
