"""SQL for batches: few statements and few rows, because each row that SQLite returns may wait for the GIL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from storage.engine.connection import Connection


def placeholders(rows: int, columns: int) -> str:
    """Return the placeholders of a multi-row VALUES: `(?, ?), (?, ?)` for two rows of two columns."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def fetch_json(connection: Connection, columns: str, rest: str, arguments: Sequence[object]) -> list[Any]:
    """Return the rows of `SELECT columns rest`, each as a list, in a single step of SQLite.

    The columns may contain text and numbers only. The JSON functions are SQLite's; PostgreSQL has json_agg.
    """
    query = f"SELECT json_group_array(json_array({columns})) {rest}"
    (array,) = connection.execute(query, arguments).fetchone()
    rows: list[Any] = json.loads(array)
    return rows
