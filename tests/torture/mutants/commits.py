"""Mutants that answer without a durable commit, each broken in one way."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from unittest.mock import patch

from storage.engine.connection import Connection
from storage.engine.database import Database

R = TypeVar("R")


@contextmanager
def connections(factory: type[sqlite3.Connection]) -> Iterator[None]:
    """Make every connection that is opened in this context one of this class."""
    with patch.object(sqlite3, "connect", partial(sqlite3.connect, factory=factory)):
        yield


@contextmanager
def answering_early() -> Iterator[None]:
    """Answer a transaction when its function has run; the commit follows."""
    original = Database.write

    async def write(self: Database, fn: Callable[[Connection], R]) -> R:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()

        def run_and_answer(connection: Connection) -> R:
            result = fn(connection)
            loop.call_soon_threadsafe(lambda: None if answer.done() else answer.set_result(result))
            return result

        def answer_with_error(commit: asyncio.Task[R]) -> None:
            if not commit.cancelled() and (error := commit.exception()) and not answer.done():
                answer.set_exception(error)

        asyncio.create_task(original(self, run_and_answer)).add_done_callback(answer_with_error)
        return await answer

    with patch.object(Database, "write", write):
        yield


class SlowCommits(sqlite3.Connection):
    """Commits take 2 ms for each changed row, 10 to 100 ms, so that early answers arrive before their commit."""

    _changes_before = 0

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            time.sleep(min(max(0.01, 0.002 * (self.total_changes - self._changes_before)), 0.1))
            self._changes_before = self.total_changes
        return super().execute(sql, *parameters)


@contextmanager
def answering_before_commit() -> Iterator[None]:
    with answering_early(), connections(SlowCommits):
        yield


class NormalSynchronous(sqlite3.Connection):
    """Does not sync the log at a commit (synchronous=NORMAL)."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=NORMAL"), *parameters)


class IgnoredCommitErrors(sqlite3.Connection):
    """Reports a COMMIT as done even when it failed."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        try:
            return super().execute(sql, *parameters)
        except sqlite3.Error:
            if sql != "COMMIT":
                raise
            return super().execute("ROLLBACK" if self.in_transaction else "SELECT 1")
