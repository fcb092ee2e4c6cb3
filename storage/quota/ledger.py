"""The ledger: the append-only record of all balance changes. UNIQUE (kind, reference) makes each happen once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from storage.engine.batch import placeholders
from storage.engine.connection import Connection

_IDS_PER_MILLISECOND = 1000  # ids follow the clock, so that a user cannot see how many entries there are


class EntryKind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"
    GRANT = "grant"
    EXPIRE = "expire"
    ADJUST = "adjust"
    GIFT = "gift"


class LedgerEntry(NamedTuple):
    """A row of the ledger. It is a named tuple, because a batch creates many and frozen dataclasses are slower.

    `amount` is signed and `balance` is the balance after it (both in generations); `reference` is the id of the record
    that explains the entry; `previous` is the id of the user's previous entry.
    """

    id: int
    user_id: str
    kind: EntryKind
    amount: int
    balance: int
    reference: str
    created_at: int
    previous: int | None


def next_id(connection: Connection, now: int) -> int:
    """Return the id of the next entry: from the clock, or the last id plus one while the clock is behind it."""
    (last,) = connection.execute("SELECT MAX(id) FROM ledger").fetchone()
    return max(now * _IDS_PER_MILLISECOND, (last or 0) + 1)


def append(connection: Connection, entries: Sequence[LedgerEntry]) -> None:
    if not entries:
        return
    connection.execute(
        f"""
        INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at, previous)
        VALUES {placeholders(len(entries), 8)}
        """,
        list(chain.from_iterable(entries)),
    )


def amounts(connection: Connection, kind: EntryKind, references: Collection[str]) -> dict[str, int]:
    """Return the amounts of the entries of this kind, by reference. References without an entry are left out."""
    if not references:
        return {}
    rows = connection.execute(
        f"SELECT reference, amount FROM ledger WHERE kind = ? AND reference IN {placeholders(1, len(references))}",
        (kind, *references),
    )
    return dict(rows.fetchall())


def entries_of(connection: Connection, reference: str) -> list[tuple[LedgerEntry, str | None]]:
    """Return the entries that a record explains, the oldest first, each with the reason if it is an adjustment."""
    rows = connection.execute(
        f"""
        SELECT ledger.id, ledger.user_id, kind, amount, balance, reference, ledger.created_at, previous, reason
        FROM ledger LEFT JOIN adjustments ON kind = 'adjust' AND adjustments.id = reference
        WHERE kind IN {placeholders(1, len(EntryKind))} AND reference = ? ORDER BY ledger.id
        """,
        (*EntryKind, reference),
    )
    return [(LedgerEntry(row[0], row[1], EntryKind(row[2]), *row[3:8]), row[8]) for row in rows]


def page(connection: Connection, user_id: str, before: int | None, limit: int) -> list[LedgerEntry]:
    """Return a user's entries, newest first, that are older than the entry `before`.

    The list is empty when `before` is not an entry of this user.
    """
    if before is None:
        newest = "SELECT last_entry FROM accounts WHERE user_id = :user_id"
    else:
        newest = "SELECT previous FROM ledger WHERE id = :before AND user_id = :user_id"
    rows = connection.execute(
        f"""
        WITH RECURSIVE page (position, id) AS (
            SELECT 1, ({newest})
            UNION ALL SELECT position + 1, previous FROM page JOIN ledger USING (id) WHERE position < :limit
        )
        SELECT id, user_id, kind, amount, balance, reference, created_at, previous
        FROM page JOIN ledger USING (id) WHERE user_id = :user_id ORDER BY position
        """,
        {"user_id": user_id, "before": before, "limit": limit},
    )
    return [LedgerEntry(row[0], row[1], EntryKind(row[2]), *row[3:]) for row in rows]
