"""SQLite connections, each on a thread of its own, and their pragmas."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import aiosqlite

from storage.engine.errors import StorageError
from storage.engine.migrate import migrate

Connection = sqlite3.Connection
R = TypeVar("R")

CACHE_KB = 65_536  # the page cache of a connection; SQLite's default is 2 MB
CACHED_STATEMENTS = 256  # prepared statements of a connection: the SQL text differs for each batch size


class ThreadConnection(aiosqlite.Connection):
    """A connection that runs a whole function on its thread: one thread hop instead of one for each statement."""

    async def start(self) -> None:
        """Start the thread and open the connection. Raises sqlite3.Error."""
        try:
            await self
        except BaseException:
            # aiosqlite does not wait for its thread here, which could then outlive the event loop.
            await asyncio.to_thread(self._thread.join)
            raise

    async def run(self, fn: Callable[[Connection], R]) -> R:
        """Run `fn` on the connection's thread. Raises what `fn` raises."""
        return await self._execute(lambda: fn(self._conn))  # type: ignore[no-any-return,no-untyped-call]  # untyped there


async def connect(uri: str, opened: list[ThreadConnection]) -> ThreadConnection:
    """Open a connection and append it to `opened`, even when opening fails. Raises StorageError."""
    connection = ThreadConnection(
        lambda: sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=CACHED_STATEMENTS), 64
    )
    opened.append(connection)
    try:
        await connection.start()
        await connection.run(_configure)
    except sqlite3.Error as fault:
        raise StorageError(f"the database cannot be opened: {fault}; if it is damaged, restore a backup") from fault
    return connection


def _configure(connection: Connection) -> None:
    connection.execute("PRAGMA busy_timeout=5000")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")


def prepare_writer(connection: Connection) -> None:
    """Configure the writer connection, check the file and migrate the schema. Raises StorageError."""
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # 16 MB instead of the default 4 MB, so that pages that change often are copied to the database less often.
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA fullfsync=ON")  # macOS flushes the drive's cache only with it; no effect elsewhere
        connection.execute("PRAGMA checkpoint_fullfsync=ON")
        connection.execute("PRAGMA foreign_keys=ON")
        faults = [row[0] for row in connection.execute("PRAGMA quick_check")]
        if faults != ["ok"]:
            raise sqlite3.DatabaseError("; ".join(faults[:3]))
        migrate(connection)
        # Savepoints keep their undo data in memory. Set after the migrations, which may sort a whole table.
        connection.execute("PRAGMA temp_store=MEMORY")
    except sqlite3.DatabaseError as fault:
        raise StorageError(f"the database cannot be used: {fault}; if it is damaged, restore a backup") from fault
