"""SQLite with one writer, a few readers and group commit.

A transaction is a plain function over a connection. `await db.write(fn)` runs it from start to end on the writer's
thread: there is no await inside, so it cannot be cancelled halfway. Functions that arrive during a commit run together
in the next one. A caller gets its result after the commit returned; with `synchronous=FULL` the change is on disk then.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import Histogram

from storage.engine.connection import Connection, ThreadConnection, connect, prepare_writer
from storage.engine.errors import CommitFailed, StorageError
from storage.engine.group_commit import commit_group, roll_back, translate_error
from storage.engine.lock import FolderLock

R = TypeVar("R")

MAX_GROUP = 512  # transactions in one commit

_COMMIT_SECONDS = Histogram("darkroom_commit_seconds", "Time from beginning a group of transactions to its commit")
_COMMIT_TRANSACTIONS = Histogram(
    "darkroom_commit_transactions", "Transactions in one commit", buckets=[2**n for n in range(10)]
)


@dataclass(frozen=True, slots=True)
class _Write:
    fn: Callable[[Connection], Any]
    done: asyncio.Future[Any]


class Database:
    """The open database: one writer and several readers. Create it with `Database.open(folder)`.

    `failed` is set to the exception after which the process must stop, because its memory may differ from the file.
    """

    def __init__(self, lock: FolderLock, writer: ThreadConnection, readers: Sequence[ThreadConnection]) -> None:
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
        opened: list[ThreadConnection] = []
        try:
            writer = await connect(path.as_uri(), opened)
            await writer.run(prepare_writer)
            read_only = [await connect(f"{path.as_uri()}?mode=ro", opened) for _ in range(readers)]
        except BaseException:
            for connection in opened:
                await connection.close()
            lock.release()
            raise
        return cls(lock, writer, read_only)

    async def write(self, fn: Callable[[Connection], R]) -> R:
        """Run `fn` as a transaction, and return its result after the commit.

        When `fn` raises an exception, its changes are undone and the exception is raised here. When `fn` *returns* an
        exception, its changes are kept and the exception is raised here: this is how a refusal is stored.
        Raises StorageError when the disk fails (no changes are kept), and CommitFailed when the outcome is unknown.
        After CommitFailed the database accepts no more writes.
        """
        if self._closing or self.failed.done():
            raise StorageError("the database is closed for writing")
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(fn, done))
        self._arrived.set()
        return await done

    async def read(self, fn: Callable[[Connection], R]) -> R:
        """Run `fn` on a read-only connection, over one snapshot of the database.

        Raises what `fn` raises, and StorageError when the disk cannot be read.
        """
        self._next_reader = (self._next_reader + 1) % len(self._readers)
        return await self._readers[self._next_reader].run(lambda connection: _in_snapshot(connection, fn))

    async def fetch(self, fn: Callable[[Connection], R]) -> R:
        """Run an `fn` that executes a single statement, which is a snapshot by itself. Raises as `read` does.

        It saves the two statements that begin and end a transaction (docs/decisions/0007).
        """
        self._next_reader = (self._next_reader + 1) % len(self._readers)
        return await self._readers[self._next_reader].run(lambda connection: _translating_errors(connection, fn))

    async def close(self) -> None:
        """Commit the waiting writes, then close the files and release the lock."""
        self._closing = True
        self._arrived.set()
        await asyncio.wait([self._group_commits])
        # The writer is closed last, because the last connection copies the WAL into the database.
        for connection in (*self._readers, self._writer):
            await connection.close()
        self._lock.release()

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            self._group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
            await self._commit(self._group)

    def _ended(self, loop: asyncio.Task[None]) -> None:
        """Fail all waiting writes when the loop has ended by an exception."""
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
                continue  # the caller was cancelled; its transaction is committed all the same
            if isinstance(outcome, Exception):
                write.done.set_exception(outcome)
            else:
                write.done.set_result(outcome)


def _in_snapshot(connection: Connection, fn: Callable[[Connection], R]) -> R:
    try:
        _translating_errors(connection, lambda connection: connection.execute("BEGIN"))
        return _translating_errors(connection, fn)
    finally:
        roll_back(connection)


def _translating_errors(connection: Connection, fn: Callable[[Connection], R]) -> R:
    try:
        return fn(connection)
    except sqlite3.Error as fault:
        raise translate_error(fault) from fault
