"""Darkroom broken on purpose, one way each: the controls. Nothing else in tests/torture changes the product's code."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import server.system
from actors.ports import Clock
from actors.quota.actor import Quota
from actors.quota.batch_state import StoredState
from actors.quota.commands import Charge, Outcome
from actors.quota.settlement import settle
from storage.auth import codes, sends
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.quota import accounts, idempotency, ledger
from storage.task import tasks
from storage.task.tasks import FailedTask

THREADS_LEFT = "threads left:"  # what a server of the suites prints at its end, before their names
R = TypeVar("R")


@contextmanager
def answering_early() -> Iterator[None]:
    """A transaction is answered when its function has run; its commit follows."""
    honest = Database.write

    async def write(self: Database, fn: Callable[[Connection], R]) -> R:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()

        def run_and_tell(connection: Connection) -> R:
            outcome = fn(connection)
            loop.call_soon_threadsafe(lambda: None if answer.done() else answer.set_result(outcome))
            return outcome

        def tell_fault(commit: asyncio.Task[R]) -> None:
            if not commit.cancelled() and (fault := commit.exception()) and not answer.done():
                answer.set_exception(fault)

        asyncio.create_task(honest(self, run_and_tell)).add_done_callback(tell_fault)
        return await answer

    with patch.object(Database, "write", write):
        yield


class Slow(sqlite3.Connection):
    """A disk slow enough for an early answer to arrive before its commit."""

    seconds = 0.01

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            time.sleep(self.seconds)
        return super().execute(sql, *parameters)


class Slower(Slow):
    seconds = 0.05


@contextmanager
def answering_before_commit() -> Iterator[None]:
    with answering_early(), connections(Slow):
        yield


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """SIGTERM ends the process there and then, and calls it an orderly end; answers do not wait for their commit."""

    def leave() -> None:
        """With good manners, so that only lost answers can give it away."""
        for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split():
            os.kill(int(child), signal.SIGKILL)
            os.waitpid(int(child), 0)
        print(THREADS_LEFT, flush=True)
        os._exit(0)

    def told_to_stop() -> asyncio.Event:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)
        return asyncio.Event()

    with answering_early(), connections(Slower), patch("server.commands.serve._told_to_stop", told_to_stop):
        yield


class Relaxed(sqlite3.Connection):
    """Does not wait for the disk at a commit."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=NORMAL"), *parameters)


class Confident(sqlite3.Connection):
    """Takes a COMMIT for done even when it failed."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        try:
            return super().execute(sql, *parameters)
        except sqlite3.Error:
            if sql != "COMMIT":
                raise
            return super().execute("ROLLBACK" if self.in_transaction else "SELECT 1")


@contextmanager
def connections(kind: type[sqlite3.Connection]) -> Iterator[None]:
    """Connections that are opened meanwhile are of this kind."""
    with patch.object(sqlite3, "connect", partial(sqlite3.connect, factory=kind)):
        yield


class CheckThenAct(Quota):
    """Reads the balance in one transaction and writes what follows from it in another."""

    def __init__(self, db: Database, clock: Clock) -> None:
        super().__init__(db, clock)
        self._database, self._time = db, clock
        self.on_batch((Charge,), self._charge_each)

    async def _charge_each(self, batch: Sequence[Charge]) -> Sequence[object]:
        return await asyncio.gather(*map(self._charge, batch), return_exceptions=True)

    async def _charge(self, charge: Charge) -> Outcome:
        now = self._time.now()
        facts = await self._database.read(lambda connection: _facts(connection, charge, now))
        return await self._database.write(lambda connection: _settle_late(connection, charge, facts))


def _facts(connection: Connection, charge: Charge, now: int) -> StoredState:
    keys = [(charge.user_id, charge.key.key)] if charge.key else []
    found, answers = accounts.load(connection, {charge.user_id}), idempotency.load(connection, keys)
    return StoredState(now, 0, found, {}, set(), set(), answers, {})


def _settle_late(connection: Connection, charge: Charge, facts: StoredState) -> Outcome:
    """By what was found before; but with fresh numbers, since entries with the same one would be refused, not kept."""
    settlement = settle(replace(facts, next_entry=ledger.next_id(connection, facts.now)), [charge])
    tasks.add(connection, settlement.tasks)
    accounts.save(connection, settlement.accounts.values())
    ledger.append(connection, settlement.entries)
    idempotency.add(connection, list(settlement.answers.values()))
    return settlement.outcomes[0]


@contextmanager
def checking_then_acting() -> Iterator[None]:
    with patch.object(server.system, "Quota", CheckThenAct):
        yield


@contextmanager
def setting_final_states() -> Iterator[None]:
    """A final state is set, whatever the task's state was."""
    with patch.object(tasks, "win_success", _set_success), patch.object(tasks, "win_failed", _set_failed):
        yield


def _set_success(connection: Connection, task_id: str, results: Sequence[str], attempt: int | None, now: int) -> bool:
    return _set(connection, task_id, "success", now)


def _set_failed(connection: Connection, failed: Sequence[FailedTask], now: int) -> set[FailedTask]:
    return {task for task in failed if _set(connection, task.id, "failed", now)}


def _set(connection: Connection, task_id: str, state: str, now: int) -> bool:
    changed = connection.execute(
        """
        UPDATE tasks SET status = ?, waiting = 0, holder = NULL, lease_until = NULL, updated_at = ?, completed_at = ?
        WHERE id = ?
        """,
        (state, now, now, task_id),
    )
    return changed.rowcount == 1


@contextmanager
def limiting_in_memory() -> Iterator[None]:
    """What was sent is known to the process only, and forgotten with it."""
    kept: dict[Connection, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # each start opens another

    def blocked_until(connection: Connection, limit: sends.SendLimit, now: int) -> int:
        inside = [moment for moment in kept[connection][limit.scope] if moment > now - limit.window]
        return inside[-limit.max_sends] + limit.window if len(inside) >= limit.max_sends else 0

    def add(connection: Connection, scopes: Iterable[str], now: int) -> None:
        for scope in scopes:
            kept[connection][scope].append(now)

    with patch.multiple(sends, blocked_until=blocked_until, add=add):
        yield


@contextmanager
def counting_tries_in_memory() -> Iterator[None]:
    """The tries that were taken are known to the process only."""
    taken: Counter[bytes] = Counter()

    def count_attempt(connection: Connection, phone: str, now: int, tries: int) -> bytes | None:
        query = "SELECT digest FROM codes WHERE phone = ? AND expires_at > ?"
        row = connection.execute(query, (phone, now)).fetchone()
        if row is None or taken[row[0]] >= tries:
            return None
        taken[row[0]] += 1
        return bytes(row[0])

    with patch.object(codes, "count_attempt", count_attempt):
        yield


SERVERS = {  # those that a server process can be started with
    "answering-before-commit": answering_before_commit,
    "leaving-at-once": leaving_at_once,
    "checking-then-acting": checking_then_acting,
    "counting-tries-in-memory": counting_tries_in_memory,
}
