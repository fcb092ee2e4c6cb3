"""A `Database` whose scheduling and faults are the script's: real SQLite in memory, real `commit_group`, no thread.

What is committed is what a process that is killed leaves behind; writes that wait die with it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

from storage.engine.connection import Connection
from storage.engine.errors import CommitFailed, StorageError
from storage.engine.group_commit import commit_group
from storage.engine.migrate import migrate
from tests.torture.simulation.schedule import Script

R = TypeVar("R")

# A final state that changes is a broken promise, whoever looks or does not look at it.
_WATCH = """
CREATE TEMP TABLE changed_finals (what TEXT, id TEXT, former TEXT, later TEXT);
CREATE TEMP TRIGGER final_tasks AFTER UPDATE ON main.tasks
WHEN OLD.status IN ('success', 'failed')
    AND (OLD.status, OLD.results, OLD.error, OLD.completed_at)
        IS NOT (NEW.status, NEW.results, NEW.error, NEW.completed_at)
BEGIN
    INSERT INTO changed_finals VALUES ('task', OLD.id, OLD.status, NEW.status);
END;
CREATE TEMP TRIGGER final_orders AFTER UPDATE ON main.orders
WHEN OLD.status <> 'pending'
    AND (OLD.status, OLD.transaction_id, OLD.finished_at) IS NOT (NEW.status, NEW.transaction_id, NEW.finished_at)
BEGIN
    INSERT INTO changed_finals VALUES ('order', OLD.id, OLD.status, NEW.status);
END;
"""


class FaultyConnection(sqlite3.Connection):
    """Fails at the statement or the COMMIT it is told to."""

    statement: int | None = None  # counts down to the one that fails
    gives_up = False  # whether SQLite rolls the whole transaction back at that statement, as on a full disk
    commit_leaves: str | None = None  # "undone" or "done": what a COMMIT that fails leaves behind

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.commit_leaves is not None:
            done, self.commit_leaves = self.commit_leaves == "done", None
            if done:
                super().execute(sql)
            raise sqlite3.OperationalError("disk I/O error")
        self._count_down()
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        self._count_down()
        return super().executemany(sql, parameters)

    def _count_down(self) -> None:
        if self.statement is None:
            return
        self.statement -= 1
        if self.statement == 0:
            self.statement = None
            if self.gives_up and self.in_transaction:
                super().execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

    def recover(self) -> None:
        self.statement = self.commit_leaves = None


def empty_database() -> FaultyConnection:
    """A migrated database in memory that takes down final states that change, in `temp.changed_finals`."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=FaultyConnection)
    _migrated().backup(connection)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.executescript(_WATCH)
    return connection


@cache
def _migrated() -> Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


class _Write:
    def __init__(self, fn: Callable[[Connection], Any]) -> None:
        self.fn = fn
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class SimulatedStore:
    """To be made within the life of a process; its writes are committed while that lives."""

    def __init__(self, connection: FaultyConnection, script: Script) -> None:
        self.connection, self._script = connection, script
        self._waiting: list[_Write] = []
        self._arrived = asyncio.Event()
        self._closing = False
        # The slower the disk, the more meets in one commit and the staler are the answers to reads.
        self._commit_seconds, self._read_seconds = script.random.choice(((0.005, 0.001), (0.1, 0.02), (0.8, 0.4)))
        self.failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._group_commits = asyncio.create_task(self._run())

    async def write(self, fn: Callable[[Connection], R]) -> R:
        if self._closing or self.failed.done():
            raise StorageError("the database is closed for writing")
        write = _Write(fn)
        self._waiting.append(write)
        self._arrived.set()
        result: R = await write.done
        return result

    async def read(self, fn: Callable[[Connection], R]) -> R:
        """Reads are served late, and answered late."""
        await asyncio.sleep(self._stalled("a read stalls", self._read_seconds))
        found = fn(self.connection)
        await asyncio.sleep(self._stalled("a read is answered late", self._read_seconds))
        return found

    fetch = read

    async def close(self) -> None:
        self._closing = True
        self._arrived.set()
        await asyncio.wait([self._group_commits])

    def die(self) -> None:
        """The process was killed: nothing that it still wants is done."""
        self._closing = True
        self._waiting.clear()

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await asyncio.sleep(self._stalled("a commit stalls", self._commit_seconds))
            size = (
                len(self._waiting) if self._script.chance(0.8) else self._script.random.randint(0, len(self._waiting))
            )
            group, self._waiting = self._waiting[:size], self._waiting[size:]
            if group:
                outcomes = self.commit(group)
                await asyncio.sleep(self._stalled("a commit is answered late", self._commit_seconds))
                self._tell(group, outcomes)

    def commit(self, group: Sequence[_Write]) -> Sequence[object]:
        if self.failed.done():
            return [StorageError("a commit before this one failed")] * len(group)
        self._plan_faults(len(group))
        try:
            return self.run_group([write.fn for write in group])
        except (StorageError, CommitFailed) as fault:
            return [fault] * len(group)
        finally:
            self.connection.recover()

    def run_group(self, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        return commit_group(self.connection, functions)

    def _plan_faults(self, size: int) -> None:
        script, connection = self._script, self.connection
        if script.fault("a statement fails", 0.05):
            connection.statement = script.random.randint(1, 4 + 6 * size)
            connection.gives_up = script.chance(0.5)
        if script.fault("a commit fails", 0.015):
            connection.commit_leaves = script.random.choice(("done", "undone"))

    def _tell(self, group: Sequence[_Write], outcomes: Sequence[object]) -> None:
        for write, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, CommitFailed) and not self.failed.done():
                self.failed.set_result(outcome)
            if write.done.done():
                continue
            if isinstance(outcome, Exception):
                write.done.set_exception(outcome)
            else:
                write.done.set_result(outcome)

    def _stalled(self, kind: str, usual: float) -> float:
        return self._script.random.random() * (20 if self._script.fault(kind, 0.01) else usual)
