"""Numbered .sql files, each applied once, in order, in a transaction of its own. `PRAGMA user_version` keeps count."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files


class UnknownSchema(Exception):
    """The database was written by a newer Darkroom."""


def migrate(connection: sqlite3.Connection, to: int | None = None) -> None:
    """Bring the schema up to date, or to an older number. Raises UnknownSchema rather than touch what is newer."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    migrations = _numbered()
    if version > len(migrations):
        raise UnknownSchema(f"the database has schema {version}, this Darkroom knows {len(migrations)}: upgrade it")
    for number, script in enumerate(migrations[version:to], start=version + 1):
        _apply(connection, number, script)


def newest() -> int:
    """The schema that this Darkroom brings every database to."""
    return len(_numbered())


def _numbered() -> list[str]:
    found = sorted(
        (entry for entry in files("storage").joinpath("migrations").iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    for number, entry in enumerate(found, start=1):
        assert entry.name.startswith(f"{number:04}_"), f"migrations are numbered without gaps: {entry.name}"
    return [entry.read_text("utf-8") for entry in found]


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
    """Split by SQLite's own idea of a statement; `executescript` would commit the transaction it finds open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), f"a migration ends in the middle of a statement: {statement!r}"
