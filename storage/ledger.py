"""The append-only record of every balance change. UNIQUE (kind, reference) makes each change happen once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from storage.database import Connection, values


class Kind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"
    GRANT = "grant"
    EXPIRE = "expire"
    ADJUST = "adjust"


class Entry(NamedTuple):
    """A row. Named tuples, here and for what else a batch is made of, take a third of a frozen dataclass's time.

    `amount` is signed, `balance` is what it left (both in generations); `reference` names what explains it."""

    id: str
    user_id: str
    kind: Kind
    amount: int
    balance: int
    reference: str
    created_at: int


def append(connection: Connection, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    connection.execute(
        f"""
        INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at)
        VALUES {values(len(entries), 7)}
        """,
        [v for e in entries for v in (e.id, e.user_id, e.kind, e.amount, e.balance, e.reference, e.created_at)],
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


def page(connection: Connection, user_id: str, before: str | None, limit: int) -> list[Entry]:
    """A person's entries, newest first, starting below the id `before`."""
    rows = connection.execute(
        """
        SELECT id, user_id, kind, amount, balance, reference, created_at FROM ledger
        WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?
        """,
        (user_id, before or "g", limit),  # "g" sorts above every hexadecimal id
    )
    return [Entry(row[0], row[1], Kind(row[2]), *row[3:]) for row in rows]
