"""Opening a data folder's database for an audit, with or without a server running on it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from storage.audit.whole import Tell
from storage.engine.migrate import newest

_MEGABYTE = 1 << 20


class CannotAudit(Exception):
    """Nothing can be said of what is there; the message says why and, where there is something, what to do."""


@contextmanager
def opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """The folder's database, to read from. Raises CannotAudit; sqlite3.DatabaseError where its schema is damaged.

    `mode=ro` keeps this connection from ever writing or checkpointing: what a killed server left in the WAL is read
    where it is. It takes neither the folder's lock nor any other that a writer waits for.
    """
    path = folder.resolve() / "darkroom.sqlite3"
    if not path.is_file():
        raise CannotAudit(f"there is no database in {folder}: was it ever served? --data names another folder")
    with closing(sqlite3.connect(_uri(path), uri=True, isolation_level=None)) as connection:
        _check(connection, path)
        connection.execute("PRAGMA cache_size=-65536")  # 64 MB
        yield connection


def read_ahead(folder: Path, tell: Tell) -> None:
    """Have the file in memory before it is audited, as far as it fits there.

    SQLite goes from page to page as its trees lead it, and quick_check through all of them: a file of 5 GB that nobody
    had read took it 208 s, and 28 s when it was in memory, where reading from end to end had brought it in 35 s.
    """
    path = folder / "darkroom.sqlite3"
    size, done = path.stat().st_size >> 20, 0
    with suppress(OSError), path.open("rb", buffering=0) as file:  # what cannot be read is for the audit to say
        while file.read(_MEGABYTE):
            done += 1
            tell("megabytes", min(done, size), size)


def _uri(path: Path) -> str:
    """Reading a WAL database takes an index beside it; where none can be made, nobody can be writing either."""
    frozen = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return f"{path.as_uri()}?mode=ro{'&immutable=1' if frozen else ''}"


def _check(connection: sqlite3.Connection, path: Path) -> None:
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        ours = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ledger'").fetchone()
    except sqlite3.OperationalError as fault:
        raise CannotAudit(f"{path} cannot be read: {fault}") from fault
    except sqlite3.DatabaseError as fault:
        if fault.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise CannotAudit(f"{path} is not a database") from fault
    if version > newest():
        raise CannotAudit(f"{path} has schema {version}, this Darkroom knows {newest()}: upgrade it")
    if not ours:
        raise CannotAudit(f"{path} is not a database of Darkroom's")
    if version < newest():
        raise CannotAudit(
            f"{path} has schema {version}, not {newest()}: start the server once, which brings it up to date"
        )
