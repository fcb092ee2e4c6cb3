"""Row counts of the main tables."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowCounts:
    users: int
    entries: int
    tasks: int
    orders: int


def count_rows(connection: sqlite3.Connection) -> RowCounts:
    tables = ("users", "ledger", "tasks", "orders")
    return RowCounts(*(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables))
