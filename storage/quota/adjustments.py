"""Adjustments: the records of an operator's changes of balances, with their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.engine.batch import placeholders
from storage.engine.connection import Connection


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An operator's change of a balance."""

    id: str
    user_id: str
    reason: str
    created_at: int


def existing(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return those of `ids` that exist already."""
    if not ids:
        return set()
    return {
        i for (i,) in connection.execute(f"SELECT id FROM adjustments WHERE id IN {placeholders(1, len(ids))}", ids)
    }


def add(connection: Connection, adjustments: Sequence[Adjustment]) -> None:
    if not adjustments:
        return
    connection.execute(
        f"INSERT INTO adjustments (id, user_id, reason, created_at) VALUES {placeholders(len(adjustments), 4)}",
        [value for a in adjustments for value in (a.id, a.user_id, a.reason, a.created_at)],
    )
