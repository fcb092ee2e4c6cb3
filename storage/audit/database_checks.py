"""Checks of the whole database: the file, its foreign keys, its totals. Each yields (rule, violation) pairs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from storage.audit.progress import ReportProgress

FILE_RULE = "the file passes SQLite's quick_check"
REFERENCES_RULE = "every foreign key refers to an existing row"
TOTALS_RULE = "the stored totals equal the counted rows"


def check_file(connection: sqlite3.Connection, report_progress: ReportProgress) -> Iterator[tuple[str, str]]:
    """Check the pages and rows of the file. SQLite does not check CHECK constraints on a read-only connection."""
    report_progress("the file", 0, 0)
    for (line,) in connection.execute("PRAGMA quick_check"):
        if line != "ok":
            yield FILE_RULE, line.replace("\n", " ")
    report_progress("the file", 1, 1)


def check_references(connection: sqlite3.Connection, report_progress: ReportProgress) -> Iterator[tuple[str, str]]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for done, table in enumerate(tables):
        report_progress("references", done, len(tables))
        for _, row_id, parent, key in connection.execute(f'PRAGMA foreign_key_check("{table}")'):
            column, row_name, value = _reference(connection, table, row_id, key)
            yield REFERENCES_RULE, f"{table} {row_name}: its {column} is {value}, which does not exist in {parent}"
    report_progress("references", len(tables), len(tables))


def _reference(connection: sqlite3.Connection, table: str, row_id: int, key: int) -> tuple[str, str, str]:
    """Return the column of a broken reference, the first column of its row (the id, if there is one), and its value."""
    foreign_keys = connection.execute(f'PRAGMA foreign_key_list("{table}")')
    column = next(str(foreign_key[3]) for foreign_key in foreign_keys if foreign_key[0] == key)
    (first,) = connection.execute("SELECT name FROM pragma_table_info(?) WHERE cid = 0", (table,)).fetchone()
    row = connection.execute(f'SELECT "{first}", "{column}" FROM "{table}" WHERE rowid = ?', (row_id,)).fetchone()
    row_name, value = row or (f"row {row_id}", "no longer there")
    return column, row_name, value


def check_totals(connection: sqlite3.Connection, report_progress: ReportProgress) -> Iterator[tuple[str, str]]:
    """Compare the totals (migration 0002) with the rows. Tasks are counted in the order of their index."""
    report_progress("totals", 0, 0)
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
        yield TOTALS_RULE, f"{name}: the stored total is {counted}, but counting the rows gives {present}"
    report_progress("totals", 1, 1)
