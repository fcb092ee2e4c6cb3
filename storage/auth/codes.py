"""Login codes: each phone has one code at most."""

from __future__ import annotations

from dataclasses import dataclass

from storage.engine.connection import Connection


@dataclass(frozen=True, slots=True)
class StoredCode:
    """The login code of a phone, as stored.

    `digest` is a keyed hash of the code; `expires_at` is in epoch milliseconds.
    """

    phone: str
    digest: bytes
    expires_at: int


def replace(connection: Connection, code: StoredCode) -> None:
    """Store a code in place of the phone's former one, with no attempts counted."""
    connection.execute(
        """
        INSERT INTO codes (phone, digest, expires_at) VALUES (?, ?, ?)
        ON CONFLICT (phone) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at, tries = 0
        """,
        (code.phone, code.digest, code.expires_at),
    )


def count_try(connection: Connection, phone: str, now: int, max_tries: int) -> bytes | None:
    """Count an attempt on the phone's valid code. Return its digest, or None when no code or no attempt is left."""
    row = connection.execute(
        """
        UPDATE codes SET tries = tries + 1
        WHERE phone = ? AND tries < ? AND expires_at > ?
        RETURNING digest
        """,
        (phone, max_tries, now),
    ).fetchone()
    return row[0] if row else None


def consume(connection: Connection, phone: str, digest: bytes) -> bool:
    """Delete a code because it was used. Return False when it is gone or a newer code has replaced it."""
    deleted = connection.execute("DELETE FROM codes WHERE phone = ? AND digest = ?", (phone, digest))
    return deleted.rowcount == 1


def delete_expired(connection: Connection, before: int) -> None:
    """Delete the codes that expired before a time (epoch milliseconds)."""
    connection.execute("DELETE FROM codes WHERE expires_at < ?", (before,))
