"""The append-only record of every balance change. UNIQUE (kind, reference) makes each change happen once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from storage.engine.batch import placeholders
from storage.engine.connection import Connection

_PER_MILLISECOND = 1000  # ids begin with the moment, so that they do not tell a person how many entries there are


class Kind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"
    GRANT = "grant"
    EXPIRE = "expire"
    ADJUST = "adjust"
    GIFT = "gift"


class Entry(NamedTuple):
    """A row. Named tuples, here and for what else a batch is made of, take a third of a frozen dataclass's time.

    `amount` is signed, `balance` is what it left (both in generations); `reference` names what explains it; `previous`
    is the id of this person's entry before it.
    """

    id: int
    user_id: str
    kind: Kind
    amount: int
    balance: int
    reference: str
    created_at: int
    previous: int | None


def next_id(connection: Connection, now: int) -> int:
    """From where to number entries: by the clock, or by one more than the last while the clock is behind."""
    (last,) = connection.execute("SELECT MAX(id) FROM ledger").fetchone()
    return max(now * _PER_MILLISECOND, (last or 0) + 1)


def append(connection: Connection, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    connection.execute(
        f"""
        INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at, previous)
        VALUES {placeholders(len(entries), 8)}
        """,
        list(chain.from_iterable(entries)),
    )


def amounts(connection: Connection, kind: Kind, references: Collection[str]) -> dict[str, int]:
    """The amounts of the entries of this kind, by reference; those that do not exist are left out."""
    if not references:
        return {}
    rows = connection.execute(
        f"SELECT reference, amount FROM ledger WHERE kind = ? AND reference IN {placeholders(1, len(references))}",
        (kind, *references),
    )
    return dict(rows.fetchall())


def page(connection: Connection, user_id: str, before: int | None, limit: int) -> list[Entry]:
    """A person's entries, newest first, starting below their entry `before`; none if that is not theirs."""
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
    return [Entry(row[0], row[1], Kind(row[2]), *row[3:]) for row in rows]
