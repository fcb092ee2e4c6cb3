"""Connections that do not wait for the disk."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from typing import Any

from tests.torture.mutants.commits import connections


class _Unsynced(sqlite3.Connection):
    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), *parameters)


def without_syncs() -> AbstractContextManager[None]:
    """Let connections opened in this context skip every fsync, where a suite does not test durability, to save time."""
    return connections(_Unsynced)
