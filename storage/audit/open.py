"""Opening the database of a data folder for an audit, whether or not a server uses it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from storage.audit.progress import ReportProgress
from storage.engine.migrate import latest_version

_MEGABYTE = 1 << 20


class CannotAudit(Exception):
    """The database cannot be audited. The message says why, and what to do where something can be done."""


@contextmanager
def open_for_audit(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the folder's database for reading. Raises CannotAudit, or sqlite3.DatabaseError when the schema is damaged.

    `mode=ro` keeps the connection from writing and from checkpointing, so it reads the WAL of a killed server and
    leaves it there. It takes neither the folder's lock nor a lock that a writer waits for.
    """
    path = folder.resolve() / "darkroom.sqlite3"
    if not path.is_file():
        raise CannotAudit(f"there is no database in {folder}; name another data folder with --data")
    with closing(sqlite3.connect(_uri(path), uri=True, isolation_level=None)) as connection:
        _check_schema(connection, path)
        connection.execute("PRAGMA cache_size=-65536")  # 64 MB
        yield connection


def read_ahead(folder: Path, report_progress: ReportProgress) -> None:
    """Read the file from start to end, so that the audit finds as much of it as possible in the page cache.

    The audit reads the pages in the order of SQLite's trees, which is slow on a disk.
    """
    path = folder / "darkroom.sqlite3"
    size, done = path.stat().st_size >> 20, 0
    with suppress(OSError), path.open("rb", buffering=0) as file:  # the audit itself reports what cannot be read
        while file.read(_MEGABYTE):
            done += 1
            report_progress("megabytes", min(done, size), size)


def _uri(path: Path) -> str:
    """Return the URI to open. Reading a WAL database needs an index file beside it.

    In a read-only folder the index cannot be created, but no process can be writing either: it is opened as immutable.
    """
    read_only = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return f"{path.as_uri()}?mode=ro{'&immutable=1' if read_only else ''}"


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        has_ledger = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ledger'").fetchone()
    except sqlite3.OperationalError as fault:
        raise CannotAudit(f"{path} cannot be read: {fault}") from fault
    except sqlite3.DatabaseError as fault:
        if fault.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise CannotAudit(f"{path} is not a database") from fault
    latest = latest_version()
    if version > latest:
        raise CannotAudit(
            f"{path} has schema version {version}, but this Darkroom knows only versions up to {latest}; "
            "upgrade Darkroom"
        )
    if not has_ledger:
        raise CannotAudit(f"{path} is not a Darkroom database")
    if version < latest:
        raise CannotAudit(
            f"{path} has schema version {version}, not {latest}; start the server once to migrate the database"
        )
