"""Migrations: numbered .sql files, applied once in order, each in its own transaction.

`PRAGMA user_version` stores the number of the last one that was applied.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files


class UnknownSchema(Exception):
    """A newer Darkroom has written the database."""


def migrate(connection: sqlite3.Connection, to: int | None = None) -> None:
    """Migrate the schema to the latest version, or to version `to`. Raises UnknownSchema when it is newer already."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    migrations = _scripts()
    if version > len(migrations):
        raise UnknownSchema(
            f"the database has schema version {version}, but this Darkroom knows only versions up to "
            f"{len(migrations)}; upgrade Darkroom"
        )
    for number, script in enumerate(migrations[version:to], start=version + 1):
        _apply(connection, number, script)


def latest_version() -> int:
    """Return the schema version that `migrate` produces."""
    return len(_scripts())


def _scripts() -> list[str]:
    entries = sorted(
        (entry for entry in files("storage").joinpath("migrations").iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    for number, entry in enumerate(entries, start=1):
        assert entry.name.startswith(f"{number:04}_"), f"migrations are numbered without gaps: {entry.name}"
    return [entry.read_text("utf-8") for entry in entries]


def _apply(connection: sqlite3.Connection, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={number:d}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements. `executescript` cannot be used, because it commits the open transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), f"a migration ends in the middle of a statement: {statement!r}"
