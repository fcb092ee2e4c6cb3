"""Login codes that were sent. They are also the record by which sending is limited, so limits survive a restart."""

from __future__ import annotations

from dataclasses import dataclass

from storage.database import Connection


@dataclass(frozen=True, slots=True)
class Code:
    """`digest` is a keyed hash of the code. Times in epoch milliseconds."""

    id: str
    phone: str
    address: str
    digest: bytes
    sent_at: int
    expires_at: int


def add(connection: Connection, code: Code) -> None:
    """Add a code, and kill those before it: at any time one code of a phone is alive."""
    connection.execute("UPDATE codes SET spent = 1 WHERE phone = ? AND spent = 0", (code.phone,))
    connection.execute(
        "INSERT INTO codes (id, phone, address, digest, sent_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        (code.id, code.phone, code.address, code.digest, code.sent_at, code.expires_at),
    )


def sent_to_phone(connection: Connection, phone: str, since: int) -> list[int]:
    """When codes went to this phone after `since`, oldest first."""
    rows = connection.execute(
        "SELECT sent_at FROM codes WHERE phone = ? AND sent_at > ? ORDER BY sent_at", (phone, since)
    )
    return [sent_at for (sent_at,) in rows]


def asked_from_address(connection: Connection, address: str, since: int) -> list[int]:
    """When codes were asked for from this address after `since`, oldest first."""
    rows = connection.execute(
        "SELECT sent_at FROM codes WHERE address = ? AND sent_at > ? ORDER BY sent_at", (address, since)
    )
    return [sent_at for (sent_at,) in rows]


def take_try(connection: Connection, phone: str, now: int, tries: int) -> tuple[str, bytes] | None:
    """Count a try on the living code of this phone; its id and digest, or None when no try is left on it."""
    row = connection.execute(
        """
        UPDATE codes SET tries = tries + 1
        WHERE phone = ? AND spent = 0 AND tries < ? AND expires_at > ?
        RETURNING id, digest
        """,
        (phone, tries, now),
    ).fetchone()
    return (row[0], row[1]) if row else None


def spend(connection: Connection, code_id: str) -> None:
    connection.execute("UPDATE codes SET spent = 1 WHERE id = ?", (code_id,))
