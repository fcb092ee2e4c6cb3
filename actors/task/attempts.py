"""The attempts that run in this process: they are claimed, kept alive, and end with a message to the actor."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from actors.errors import CommitFailed, DomainError, FileMissing, Overloaded, StorageError
from actors.message import Message
from actors.ports import Clock, ObjectStore, PictureRefused, PictureWorkers
from actors.runtime import Actor
from actors.task.attempt import Attempt, Busy, TaskRefused
from actors.task.messages import (
    FailTask,
    FinishTask,
    InterruptTask,
    PostponeTask,
    RecordPictures,
    ReleaseTask,
    RenewLeases,
    ReportProgress,
    Task,
)
from actors.task.settings import TaskSettings
from actors.task.task_type import TaskTypes
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task import queue
from storage.task.transitions import Change, TransitionKind, apply

log = structlog.stdlib.get_logger("darkroom.task")

LEASE = 30_000  # milliseconds
RENEW_SECONDS = 10
GRACE_SECONDS = 30  # after the time limit of an attempt its lease is no longer renewed, even if it does not end


@dataclass(slots=True)
class _Running:
    task: Task
    job: asyncio.Future[None]
    renew_until: float  # by the event loop's clock
    has_ended: bool = False  # the work has ended, and its outcome is being stored


class Attempts:
    """Carries out tasks, up to `settings.workers` at the same time. `folder` is for unfinished pictures.

    `wake` is called when a worker is free again.
    """

    def __init__(
        self,
        actor: Actor,
        db: Database,
        clock: Clock,
        store: ObjectStore,
        workers: PictureWorkers,
        types: TaskTypes,
        settings: TaskSettings,
        folder: Path,
        wake: Callable[[], None],
    ) -> None:
        self._wake = wake
        self._actor, self._db, self._clock, self._types = actor, db, clock, types
        self._store, self._workers, self._settings, self._folder = store, workers, settings, folder
        self._names = deque(name for name, each in types.items() if each.work is not None)
        self._running: dict[tuple[str, int], _Running] = {}  # by task id and fencing token
        self.draining = False
        actor.on(RenewLeases, self.renew_leases)
        actor.every(RENEW_SECONDS, RenewLeases())

    @property
    def free_workers(self) -> int:
        """How many more attempts may be started."""
        return 0 if self.draining else max(0, self._settings.workers - len(self._running))

    async def count_in_work(self) -> int:
        """Return how many tasks are being carried out here, or wait only for a free worker."""
        waiting = 0
        if self._settings.workers and self._names and not self.draining:
            waiting = await self._db.read(lambda connection: queue.count_claimable(connection, list(self._names)))
        return waiting + len(self._running)

    async def claim(self) -> Sequence[Task]:
        """Claim waiting tasks for all free workers and start their attempts. Return those tasks."""
        free = self.free_workers
        if not free:
            return []
        self._names.rotate(-1)  # so that no type is always served first
        claimed = await self._db.write(partial(self._claim, free=free))
        for task in claimed:
            try:
                self._start(task)
            except Overloaded:  # the server has begun to stop; the task was not tried
                await self._db.write(partial(self._release, task=task))
        return claimed

    def _release(self, connection: Connection, task: Task) -> None:
        apply(connection, TransitionKind.RELEASED, [Change(task.id, attempt=task.attempt)], self._clock.now())

    def _claim(self, connection: Connection, free: int) -> list[Task]:
        now = self._clock.now()
        claimed: list[Task] = []
        for name in self._names:
            claimed += queue.claim(connection, name, free - len(claimed), now, now + LEASE)
        return claimed

    def _start(self, task: Task) -> None:
        seconds = self._seconds(task)
        job = self._actor.start_job(self._carry_out(task, seconds))
        renew_until = asyncio.get_running_loop().time() + seconds + GRACE_SECONDS
        running = self._running[task.id, task.attempt] = _Running(task, job, renew_until)
        job.add_done_callback(lambda _: self._ended(running))

    def _ended(self, running: _Running) -> None:
        del self._running[running.task.id, running.task.attempt]
        self._wake()

    def _seconds(self, task: Task) -> int:
        return self._settings.limits_of(self._types[task.type]).seconds

    def stop(self, task_id: str) -> None:
        """Stop the attempts at a task whose lease has ended."""
        for running in self._running.values():
            if running.task.id == task_id:
                self._cancel(running)

    async def renew_leases(self, _: RenewLeases) -> None:
        """Renew the leases of running attempts, and stop attempts whose lease was lost.

        An attempt never renews its own lease, because one that hangs would keep it forever.
        """
        time = asyncio.get_running_loop().time()
        held = [key for key, running in self._running.items() if time < running.renew_until and not running.has_ended]
        until = self._clock.now() + LEASE
        kept = await self._db.write(lambda connection: queue.renew_leases(connection, held, until))
        for task_id, attempt in held:
            running = self._running.get((task_id, attempt))
            if task_id not in kept and running is not None and not running.has_ended:
                log.warning("an attempt has lost its lease and is stopped", task=task_id, attempt=attempt)
                self._cancel(running)

    def _cancel(self, running: _Running) -> None:
        running.job.cancel()

    async def _carry_out(self, task: Task, seconds: int) -> None:
        outcome = await self._outcome(task, seconds)
        self._running[task.id, task.attempt].has_ended = True
        try:
            await self._actor.ask_from_job(outcome)
        except (StorageError, CommitFailed, Overloaded) as fault:
            log.warning("a task stays leased until a sweep takes it back", task=task.id, fault=repr(fault))

    async def _outcome(self, task: Task, seconds: int) -> Message[None]:
        """Do the work of a task; return the message that ends or releases it."""
        try:
            async with asyncio.timeout(seconds):
                return FinishTask(task, await self._work(task))
        except (PictureRefused, TaskRefused) as refusal:
            return FailTask(task, refusal.reason)
        except FileMissing:
            return FailTask(task, "input_missing")
        except Busy as busy:
            return PostponeTask(task, busy.retry_after, str(busy))
        except (Overloaded, TimeoutError, OSError, StorageError, CommitFailed) as fault:
            if self.draining and isinstance(fault, Overloaded):  # the workers stop, and nothing was tried
                return ReleaseTask(task)
            log.warning("an attempt at a task was interrupted", task=task.id, attempt=task.attempt, fault=repr(fault))
            return InterruptTask(task, repr(fault))
        except Exception:
            log.exception("a task failed", task=task.id, attempt=task.attempt)
            return FailTask(task, "internal")

    async def _work(self, task: Task) -> Sequence[str]:
        work = self._types[task.type].work
        assert work is not None, "only types that are carried out here are claimed"
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as folder:
            report, record = partial(self._report_stage, task), partial(self._record, task)
            return await work(Attempt(task, Path(folder), self._store, self._workers, report, record))

    async def _report_stage(self, task: Task, stages_done: int) -> None:
        percent = self._types[task.type].percent(stages_done)
        try:
            await self._actor.ask_from_job(ReportProgress(task, percent))
        except (StorageError, CommitFailed, DomainError) as fault:  # the progress is not worth a new attempt
            log.warning("the progress of a task was not stored", task=task.id, fault=repr(fault))

    async def _record(self, task: Task, pictures: Sequence[tuple[str, int]]) -> None:
        await self._actor.ask_from_job(RecordPictures(task.user_id, pictures))
