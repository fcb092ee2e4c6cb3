"""SQLite with one writer, a few readers and group commit.

A transaction is a plain function over a connection. `await db.write(fn)` runs it start to finish on the writer's
thread: there is no await inside, so no cancellation inside. Functions that arrive while a commit is under way run
together in the next one, each behind a savepoint of its own if they are several; callers are answered when the commit
has returned, which with `synchronous=FULL` means that the change is on disk.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from prometheus_client import Histogram

from storage.engine.lock import FolderLock
from storage.engine.migrate import migrate

Connection = sqlite3.Connection
R = TypeVar("R")

GROUP = 512  # transactions in one commit, at most
CACHE_KB = 65_536  # pages a connection keeps, at most; SQLite's own default is 2 MB
STATEMENTS = 256  # prepared ones that a connection keeps: batches of each size have their own text

_COMMIT_SECONDS = Histogram("darkroom_commit_seconds", "Time from beginning a group of transactions to its commit")
_COMMIT_TRANSACTIONS = Histogram(
    "darkroom_commit_transactions", "Transactions in one commit", buckets=[2**n for n in range(10)]
)


class StorageError(Exception):
    """The database cannot do what was asked. Nothing of it was kept."""


class CommitFailed(Exception):
    """The commit itself failed: whether the changes are on disk is not known until the file is read again."""


class MissingReference(Exception):
    """A row would refer to one that does not exist. Nothing of the transaction was kept."""


class _Worker(aiosqlite.Connection):
    """aiosqlite pays a thread hop for each statement; this pays one for a whole function."""

    async def begin(self) -> None:
        try:
            await self
        except BaseException:
            await asyncio.to_thread(self._thread.join)  # aiosqlite lets it end later, when the loop may be gone
            raise

    async def run(self, fn: Callable[[Connection], R]) -> R:
        return await self._execute(lambda: fn(self._conn))  # type: ignore[no-any-return,no-untyped-call]  # untyped there


@dataclass(frozen=True, slots=True)
class _Write:
    fn: Callable[[Connection], Any]
    done: asyncio.Future[Any]


class Database:
    """Open with `Database.open(folder)`; `failed` gets the fault after which going on would be unsafe."""

    def __init__(self, lock: FolderLock, writer: _Worker, readers: Sequence[_Worker]) -> None:
        self._lock, self._writer, self._readers = lock, writer, readers
        self._next_reader = 0
        self._waiting: list[_Write] = []
        self._group: Sequence[_Write] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self.failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._group_commits = asyncio.create_task(self._run(), name="group commit")
        self._group_commits.add_done_callback(self._ended)

    @classmethod
    async def open(cls, folder: Path, *, readers: int = 2) -> Database:
        """Lock the data folder, check and migrate its database. Raises FolderInUse, StorageError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FolderLock.take(folder)
        path = folder.resolve() / "darkroom.sqlite3"
        opened: list[_Worker] = []
        try:
            writer = await _connect(path.as_uri(), opened)
            await writer.run(_prepare)
            reading = [await _connect(f"{path.as_uri()}?mode=ro", opened) for _ in range(readers)]
        except BaseException:
            for connection in opened:
                await connection.close()
            lock.release()
            raise
        return cls(lock, writer, reading)

    async def write(self, fn: Callable[[Connection], R]) -> R:
        """Run `fn` as a transaction; its result comes after the commit.

        Raises what `fn` raises, and StorageError when the disk refuses: then none of its changes are kept. Raises an
        exception that `fn` returns: then they are, which is how a refusal is remembered. Raises CommitFailed when the
        outcome is unknown; after that the database takes no more writes.
        """
        if self._closing or self.failed.done():
            raise StorageError("the database is closed for writing")
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(fn, done))
        self._arrived.set()
        return await done

    async def read(self, fn: Callable[[Connection], R]) -> R:
        """Run `fn` on a read-only connection, over one snapshot of the database.

        Raises what `fn` raises, StorageError when the disk cannot be read.
        """
        self._next_reader = (self._next_reader + 1) % len(self._readers)
        return await self._readers[self._next_reader].run(lambda connection: _snapshot(connection, fn))

    async def fetch(self, fn: Callable[[Connection], R]) -> R:
        """`read` for an `fn` of a single statement, which is a snapshot by itself.

        To begin and to end one are two more steps for which the GIL has to be won: reads of tasks gain a tenth.
        """
        self._next_reader = (self._next_reader + 1) % len(self._readers)
        return await self._readers[self._next_reader].run(lambda connection: _told_of(connection, fn))

    async def close(self) -> None:
        """Commit what waits, then let go of the files and the lock."""
        self._closing = True
        self._arrived.set()
        await asyncio.wait([self._group_commits])
        for connection in (*self._readers, self._writer):  # the writer last: closing it folds the WAL into the database
            await connection.close()
        self._lock.release()

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            self._group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            await self._commit(self._group)

    def _ended(self, loop: asyncio.Task[None]) -> None:
        """A loop that ends by a fault leaves nobody waiting for it."""
        fault = None if loop.cancelled() else loop.exception()
        if isinstance(fault, Exception) and not self.failed.done():
            self.failed.set_result(fault)
        for write in (*self._group, *self._waiting):
            if not write.done.done():
                write.done.set_exception(StorageError("the database has stopped writing"))

    async def _commit(self, group: Sequence[_Write]) -> None:
        try:
            if self.failed.done():
                raise StorageError("a commit before this one failed")
            with _COMMIT_SECONDS.time():
                outcomes = await self._writer.run(lambda connection: commit_group(connection, [w.fn for w in group]))
            _COMMIT_TRANSACTIONS.observe(len(group))
        except Exception as fault:
            outcomes = [fault] * len(group)
            if isinstance(fault, CommitFailed) and not self.failed.done():
                self.failed.set_result(fault)
        for write, outcome in zip(group, outcomes, strict=True):
            if write.done.done():
                continue  # the caller is gone; what it asked for is done all the same
            if isinstance(outcome, Exception):
                write.done.set_exception(outcome)
            else:
                write.done.set_result(outcome)


def commit_group(connection: Connection, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
    """Run functions in one transaction: of each its result, or the exception that undid it alone.

    Raises StorageError when SQLite gave the whole transaction up (disk full, I/O error), CommitFailed when COMMIT did.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        run = _guarded if len(functions) > 1 else _alone
        outcomes = [run(connection, fn) for fn in functions]
    except sqlite3.Error as fault:
        _roll_back(connection)
        raise StorageError(f"the transaction was given up: {fault}") from fault
    try:
        if connection.in_transaction:  # which the only function there is may have ended by failing
            connection.execute("COMMIT")
    except sqlite3.Error as fault:
        _roll_back(connection)
        raise CommitFailed(f"commit failed: {fault}") from fault
    return outcomes


def values(rows: int, columns: int) -> str:
    """The placeholders of a multi-row VALUES: `(?, ?), (?, ?)`.

    One statement for a batch, because Python lets go of the GIL at each step of sqlite3 and has to win it back.
    """
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def at_once(connection: Connection, columns: str, rest: str, arguments: Sequence[object]) -> list[Any]:
    """The rows of `SELECT columns rest`, each a list, found in a single step of SQLite.

    Python lets go of the GIL at each step, one a row, and has to win it back from the event loop each time. For
    text and numbers only. The JSON functions are SQLite's; PostgreSQL has json_agg.
    """
    query = f"SELECT json_group_array(json_array({columns})) {rest}"
    (found,) = connection.execute(query, arguments).fetchone()
    rows: list[Any] = json.loads(found)
    return rows


def _roll_back(connection: Connection) -> None:
    """Best effort: what makes a commit fail may well make this fail too, and the first fault is the one to tell."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _alone(connection: Connection, fn: Callable[[Connection], Any]) -> Any:
    """Without a savepoint: what is to be undone is the transaction. Two steps less, see `values`."""
    try:
        outcome = fn(connection)
    except Exception as fault:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return _told(fault)
    if not connection.in_transaction:
        raise sqlite3.OperationalError("SQLite gave the transaction up, and its function did not say so")
    return outcome


def _guarded(connection: Connection, fn: Callable[[Connection], Any]) -> Any:
    connection.execute("SAVEPOINT one")
    try:
        outcome = fn(connection)
    except Exception as fault:
        # On a full disk or an I/O error SQLite may roll the whole transaction back by itself. The functions that ran
        # before this one are undone then, and must not be answered as if they were not.
        if not connection.in_transaction:
            raise sqlite3.OperationalError(str(fault)) from fault
        connection.execute("ROLLBACK TO one")
        outcome = _told(fault)
    connection.execute("RELEASE one")
    return outcome


def _told(fault: Exception) -> Exception:
    """The fault as the caller gets it."""
    wrong = getattr(fault, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR  # the statement is, not the disk
    if type(fault) in (sqlite3.OperationalError, sqlite3.DatabaseError) and not wrong:  # the latter of a damaged file
        return StorageError(str(fault))
    if isinstance(fault, sqlite3.IntegrityError) and "FOREIGN KEY" in str(fault):
        return MissingReference(str(fault))
    if isinstance(fault, StopIteration):  # a future cannot carry it (PEP 479)
        return RuntimeError("a transaction raised StopIteration")
    return fault


def _snapshot(connection: Connection, fn: Callable[[Connection], R]) -> R:
    try:
        _told_of(connection, lambda connection: connection.execute("BEGIN"))
        return _told_of(connection, fn)
    finally:
        _roll_back(connection)


def _told_of(connection: Connection, fn: Callable[[Connection], R]) -> R:
    try:
        return fn(connection)
    except sqlite3.Error as fault:
        raise _told(fault) from fault


async def _connect(uri: str, opened: list[_Worker]) -> _Worker:
    """Raises StorageError."""
    worker = _Worker(lambda: sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=STATEMENTS), 64)
    opened.append(worker)
    try:
        await worker.begin()
        await worker.run(_settings)
    except sqlite3.Error as fault:
        raise StorageError(f"the database cannot be opened: {fault}; if it is damaged, restore a backup") from fault
    return worker


def _settings(connection: Connection) -> None:
    connection.execute("PRAGMA busy_timeout=5000")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")


def _prepare(connection: Connection) -> None:
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # 16 MB instead of 4: pages that change again and again are moved less often. 60 -> 48 us of CPU a creation.
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA fullfsync=ON")  # macOS needs it for the drive to flush; elsewhere it means nothing
        connection.execute("PRAGMA checkpoint_fullfsync=ON")
        connection.execute("PRAGMA foreign_keys=ON")
        faults = [row[0] for row in connection.execute("PRAGMA quick_check")]
        if faults != ["ok"]:
            raise sqlite3.DatabaseError("; ".join(faults[:3]))
        migrate(connection)
        # Where savepoints keep what they may have to undo. Not before the migrations, which may sort a whole table.
        connection.execute("PRAGMA temp_store=MEMORY")
    except sqlite3.DatabaseError as fault:
        raise StorageError(f"the database cannot be used: {fault}; if it is damaged, restore a backup") from fault
