"""The append-only record of every balance change. UNIQUE (kind, reference) makes each change happen once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from storage.database import Connection, values

MAX_ID = 2**63 - 1  # of SQLite's integers

_PER_MILLISECOND = 1000  # ids begin with the moment, so that they do not tell a person how many entries there are


class Kind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"
    GRANT = "grant"
    EXPIRE = "expire"
    ADJUST = "adjust"


class NewEntry(NamedTuple):
    """An entry to be. Named tuples, here and for what else a batch is made of, take a third of a frozen dataclass's
    time. `amount` is signed, `balance` is what it leaves (both in generations); `reference` names what explains it."""

    user_id: str
    kind: Kind
    amount: int
    balance: int
    reference: str


class Entry(NamedTuple):
    """A row: a NewEntry with its number and its moment, in epoch milliseconds."""

    id: int
    user_id: str
    kind: Kind
    amount: int
    balance: int
    reference: str
    created_at: int


def append(connection: Connection, entries: Sequence[NewEntry], now: int) -> None:
    """Number them in this order, and above all there are: by the clock, or one by one while it is behind."""
    if not entries:
        return
    (last,) = connection.execute("SELECT MAX(id) FROM ledger").fetchone()
    first = max(now * _PER_MILLISECOND, (last or 0) + 1)
    connection.execute(
        f"""
        INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at)
        VALUES {values(len(entries), 7)}
        """,
        [v for id, entry in enumerate(entries, first) for v in (id, *entry, now)],
    )


def amounts(connection: Connection, kind: Kind, references: Collection[str]) -> dict[str, int]:
    """The amounts of the entries of this kind, by reference; those that do not exist are left out."""
    if not references:
        return {}
    rows = connection.execute(
        f"SELECT reference, amount FROM ledger WHERE kind = ? AND reference IN {values(1, len(references))}",
        (kind, *references),
    )
    return dict(rows.fetchall())


def page(connection: Connection, user_id: str, before: int | None, limit: int) -> list[Entry]:
    """A person's entries, newest first, starting below the id `before`."""
    rows = connection.execute(
        """
        SELECT id, user_id, kind, amount, balance, reference, created_at FROM ledger
        WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?
        """,
        (user_id, MAX_ID if before is None else before, limit),
    )
    return [Entry(row[0], row[1], Kind(row[2]), *row[3:]) for row in rows]
