"""A `Database` with simulated scheduling and faults: real SQLite in memory, real `commit_group`, no thread.

A killed process leaves what was committed; its waiting writes are lost.
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
from tests.torture.simulation.schedule import Schedule

R = TypeVar("R")

# Final states must never change, even if no client reads them in between.
_FINAL_STATE_TRIGGERS = """
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
    """Fails at the statement or the COMMIT that the schedule chooses."""

    statements_left: int | None = None  # counts down to the statement that fails
    rolls_back = False  # whether that failure rolls the whole transaction back, as a full disk does
    failed_commit_leaves: str | None = None  # "undone" or "done": the state after the next COMMIT, which fails

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.failed_commit_leaves is not None:
            done, self.failed_commit_leaves = self.failed_commit_leaves == "done", None
            if done:
                super().execute(sql)
            raise sqlite3.OperationalError("disk I/O error")
        self._count_down()
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        self._count_down()
        return super().executemany(sql, parameters)

    def _count_down(self) -> None:
        if self.statements_left is None:
            return
        self.statements_left -= 1
        if self.statements_left == 0:
            self.statements_left = None
            if self.rolls_back and self.in_transaction:
                super().execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

    def recover(self) -> None:
        self.statements_left = self.failed_commit_leaves = None


def empty_database() -> FaultyConnection:
    """Return a migrated database in memory that lists changed final states in `temp.changed_finals`."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=FaultyConnection)
    _migrated().backup(connection)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.executescript(_FINAL_STATE_TRIGGERS)
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
    """Made by a task of a simulated process (`ProcessTasks`); writes are committed as long as the process runs."""

    def __init__(self, connection: FaultyConnection, schedule: Schedule) -> None:
        self.connection, self._schedule = connection, schedule
        self._waiting: list[_Write] = []
        self._arrived = asyncio.Event()
        self._closing = False
        # The slower the disk, the more writes meet in one commit, and the older are the answers to reads.
        self._commit_seconds, self._read_seconds = schedule.random.choice(((0.005, 0.001), (0.1, 0.02), (0.8, 0.4)))
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
        """Read after a delay, and answer after another one."""
        await asyncio.sleep(self._delay("a read stalls", self._read_seconds))
        result = fn(self.connection)
        await asyncio.sleep(self._delay("a read is answered late", self._read_seconds))
        return result

    fetch = read

    async def close(self) -> None:
        self._closing = True
        self._arrived.set()
        await asyncio.wait([self._group_commits])

    def abandon(self) -> None:
        """The process was killed: drop the waiting writes."""
        self._closing = True
        self._waiting.clear()

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await asyncio.sleep(self._delay("a commit stalls", self._commit_seconds))
            size = (
                len(self._waiting)
                if self._schedule.chance(0.8)
                else self._schedule.random.randint(0, len(self._waiting))
            )
            group, self._waiting = self._waiting[:size], self._waiting[size:]
            if group:
                outcomes = self.commit(group)
                await asyncio.sleep(self._delay("a commit is answered late", self._commit_seconds))
                self._reply(group, outcomes)

    def commit(self, group: Sequence[_Write]) -> Sequence[object]:
        if self.failed.done():
            return [StorageError("a commit before this one failed")] * len(group)
        self._plan_faults(len(group))
        try:
            return self.run_group([write.fn for write in group])
        except (StorageError, CommitFailed) as error:
            return [error] * len(group)
        finally:
            self.connection.recover()

    def run_group(self, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        return commit_group(self.connection, functions)

    def _plan_faults(self, size: int) -> None:
        schedule, connection = self._schedule, self.connection
        if schedule.fault("a statement fails", 0.05):
            connection.statements_left = schedule.random.randint(1, 4 + 6 * size)
            connection.rolls_back = schedule.chance(0.5)
        if schedule.fault("a commit fails", 0.015):
            connection.failed_commit_leaves = schedule.random.choice(("done", "undone"))

    def _reply(self, group: Sequence[_Write], outcomes: Sequence[object]) -> None:
        for write, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, CommitFailed) and not self.failed.done():
                self.failed.set_result(outcome)
            if write.done.done():
                continue
            if isinstance(outcome, Exception):
                write.done.set_exception(outcome)
            else:
                write.done.set_result(outcome)

    def _delay(self, kind: str, usual: float) -> float:
        return self._schedule.random.random() * (20 if self._schedule.fault(kind, 0.01) else usual)
