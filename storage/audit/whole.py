"""What must hold of the database as a whole: the file, its references, its totals."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Tell = Callable[[str, int, int], None]
"""Gets what is being checked, how many rows (or tables) of it are done, and of how many; of 0 where nobody can say."""

FILE = "the file passes SQLite's quick_check"
REFERENCES = "every reference leads somewhere"
TOTALS = "the totals are what there is"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is in a database."""

    people: int
    entries: int
    tasks: int
    orders: int


def extent(connection: sqlite3.Connection) -> Extent:
    tables = ("users", "ledger", "tasks", "orders")
    return Extent(*(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables))


def damage(connection: sqlite3.Connection, tell: Tell) -> Iterator[tuple[str, str]]:
    """What SQLite finds wrong with its pages and rows.

    A read-only connection does not even parse CHECKs: what they would keep out, the other rules have to find.
    """
    tell("the file", 0, 0)
    for (line,) in connection.execute("PRAGMA quick_check"):
        if line != "ok":
            yield FILE, line.replace("\n", " ")
    tell("the file", 1, 1)


def broken_references(connection: sqlite3.Connection, tell: Tell) -> Iterator[tuple[str, str]]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for done, table in enumerate(tables):
        tell("references", done, len(tables))
        for _, row, parent, key in connection.execute(f'PRAGMA foreign_key_check("{table}")'):
            column, of, value = _reference(connection, table, row, key)
            yield (
                REFERENCES,
                f"{table} {of}: its {column} is {value}, which is not in {parent}",
            )
    tell("references", len(tables), len(tables))


def _reference(connection: sqlite3.Connection, table: str, row: int, key: int) -> tuple[str, str, str]:
    """The column of a broken reference, the first column of its row (which is the id where there is one), its value."""
    keys = connection.execute(f'PRAGMA foreign_key_list("{table}")')
    column = next(str(found[3]) for found in keys if found[0] == key)
    (first,) = connection.execute("SELECT name FROM pragma_table_info(?) WHERE cid = 0", (table,)).fetchone()
    found = connection.execute(f'SELECT "{first}", "{column}" FROM "{table}" WHERE rowid = ?', (row,)).fetchone()
    of, value = found or (f"row {row}", "gone since")
    return column, of, value


def wrong_totals(connection: sqlite3.Connection, tell: Tell) -> Iterator[tuple[str, str]]:
    """The totals of migration 0002 against what they count. Tasks are counted in the order of their index."""
    tell("totals", 0, 0)
    rows = connection.execute(
        """
        SELECT name, SUM(counted), SUM(present) FROM (
            SELECT name, amount AS counted, 0 AS present FROM totals
            UNION ALL SELECT 'users', 0, COUNT(*) FROM users
            UNION ALL SELECT 'tasks.' || status, 0, SUM(tasks) FROM
                (SELECT status, COUNT(*) AS tasks FROM tasks GROUP BY user_id, status) GROUP BY status
            UNION ALL SELECT 'orders.' || status, 0, COUNT(*) FROM orders GROUP BY status
            UNION ALL SELECT 'revenue', 0, COALESCE(SUM(amount), 0) FROM orders WHERE status = 'paid'
        )
        GROUP BY name HAVING SUM(counted) <> SUM(present)
        """
    )
    for name, counted, present in rows:
        yield TOTALS, f"{name}: counted are {counted}, there are {present}"
    tell("totals", 1, 1)
