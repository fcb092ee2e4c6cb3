"""The sweep: what has taken too long ends or is tried again, whatever happened to those who were working on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
from prometheus_client import Gauge

from actors.durations import HOUR
from actors.errors import CommitFailed, DomainError, StorageError
from actors.ports import Clock
from actors.quota.actor import Quota
from actors.task.external_workers import EXTERNAL_LEASE
from actors.task.messages import InterruptTask, Task
from actors.task.outcomes import MAX_POSTPONEMENT, Outcomes
from actors.task.task_type import TaskTypes
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task import queue
from storage.task.queue import Backlog
from storage.task.tasks import Holder

log = structlog.stdlib.get_logger("darkroom.task")

SWEEP_SECONDS = 10
BATCH = 256

_WAITING = Gauge("darkroom_tasks_waiting", "Tasks that nobody is carrying out yet", ["type"])
_OLDEST = Gauge("darkroom_tasks_oldest_waiting_seconds", "How long the oldest of these tasks has waited", ["type"])

Load = Callable[[int], Awaitable[Sequence[Task]]]
"""Returns up to BATCH tasks, after a number of tasks to skip."""


class Sweeper:
    """Ends expired leases, lets postponed tasks wait again, and fails tasks that nobody has begun in time."""

    def __init__(self, db: Database, clock: Clock, quota: Quota, types: TaskTypes, outcomes: Outcomes) -> None:
        self._db, self._clock, self._quota, self._types, self._outcomes = db, clock, quota, types, outcomes

    async def sweep(self) -> None:
        """Do all of this once. A task that cannot be swept is left to the next sweep, and does not stop the others."""
        now = self._clock.now()
        correct = partial(queue.correct_future_ends, latest_resume=now + MAX_POSTPONEMENT)
        await self._db.write(partial(correct, now=now, latest_lease=now + EXTERNAL_LEASE))
        await self._for_each(partial(self._expired_leases, now), self._end_lease)
        now = self._clock.now()  # later than the time at which a task that has just lost its lease may resume
        while await self._db.write(lambda connection: queue.resume(connection, now, BATCH)) == BATCH:
            pass
        for name in await self._db.read(queue.backlogs):
            await self._db.write(partial(queue.correct_future_starts, type=name, now=now))
            before = now - self._outcomes.limits(name).waiting_hours * HOUR
            await self._for_each(partial(self._waiting_since, name, before), self._fail_unstarted)
        self._export(await self._db.read(queue.backlogs), now)

    async def next_due(self, after: int) -> int | None:
        """Return the earliest time later than `after` at which a sweep has something to do (epoch milliseconds)."""

        def read(connection: Connection) -> int | None:
            ends = [queue.next_end(connection, after)]
            for name in queue.backlogs(connection):
                limit = self._outcomes.limits(name).waiting_hours * HOUR
                first = queue.next_waiting_from(connection, name, after - limit)
                ends.append(None if first is None else first + limit)
            return min((end for end in ends if end is not None), default=None)

        return await self._db.read(read)

    async def _expired_leases(self, now: int, skip: int) -> Sequence[Task]:
        return await self._db.read(lambda connection: queue.expired_leases(connection, now, BATCH, skip))

    async def _waiting_since(self, name: str, before: int, skip: int) -> Sequence[Task]:
        return await self._db.read(lambda connection: queue.waiting_since(connection, name, before, BATCH, skip))

    async def _for_each(self, load: Load, end: Callable[[Task], Awaitable[None]]) -> None:
        """End all tasks that `load` returns. Those that cannot be ended are skipped, and do not stop those behind."""
        seen: set[str] = set()
        skip = 0
        while batch := await load(skip):
            skip += len([task for task in batch if task.id in seen])
            await asyncio.gather(*(self._end(task, end) for task in batch if task.id not in seen))
            seen.update(task.id for task in batch)

    async def _end(self, task: Task, end: Callable[[Task], Awaitable[None]]) -> None:
        try:
            await end(task)
        except (DomainError, StorageError, CommitFailed) as fault:
            log.warning("a task could not be swept and will be tried again", task=task.id, fault=repr(fault))
        except Exception:
            log.exception("a task could not be swept", task=task.id)

    async def _end_lease(self, task: Task) -> None:
        log.warning("the lease of a task expired", task=task.id, attempt=task.attempt)
        if task.holder is Holder.OUTSIDE:
            await self._quota.ask(self._outcomes.refund(task, "abandoned", task.attempt))
        else:
            await self._outcomes.interrupt(InterruptTask(task, "the server stopped or hung"), at_once=True)

    async def _fail_unstarted(self, task: Task) -> None:
        log.warning("nobody began to carry out a task in time", task=task.id, type=task.type)
        await self._quota.ask(self._outcomes.refund(task, "not_started", only_unheld=True))

    def _export(self, backlogs: dict[str, Backlog], now: int) -> None:
        for name in {*self._types, *backlogs}:
            backlog = backlogs.get(name, Backlog(0, None))
            _WAITING.labels(name).set(backlog.tasks)
            _OLDEST.labels(name).set(0 if backlog.oldest is None else max(0, now - backlog.oldest) / 1000)
