"""Tasks: created together with their charge, worked off from their rows, ended together with their refund."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from actors.errors import CommitFailed, FileMissing, NotAllowed, Overloaded, StorageError, TaskFinished, TaskNotFound
from actors.idempotency import IdempotencyKey
from actors.ids import new_id
from actors.ports import Clock, ObjectStore, PictureRefused, PictureTemplate, PictureWorkers
from actors.quota.actor import Charge, Quota, Refund
from actors.runtime import Actor, Message
from actors.task.picture_job import make_pictures
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task import tasks
from storage.task.tasks import FailedTask, Holder, NewTask
from storage.task.tasks import Task as Task
from storage.task.tasks import TaskFilter as TaskFilter
from storage.task.tasks import TaskStatus as TaskStatus

log = structlog.stdlib.get_logger("darkroom.task")

BASIC_CLEAN = "basic_clean"
LEASE = 120_000  # milliseconds; longer than a picture may take with its reading and writing
OUTSIDE_LEASE = 3_600_000  # milliseconds a worker elsewhere may be silent
INTERRUPTIONS = 5  # a task that took its holder with it so many times is not tried again
SWEEP_SECONDS = 15
SWEEP_BATCH = 100


@dataclass(frozen=True, slots=True)
class Created:
    """`balance` is what the creation left, `created_at` epoch milliseconds."""

    task_id: str
    created_at: int
    balance: int


@dataclass(frozen=True, slots=True)
class CreateTask(Message[Created]):
    """Charge for a task of a known type and queue it. `input_key` names a picture the caller owns.

    Raises NotMember, QuotaInsufficient, IdempotencyKeyReused.
    """

    user_id: str
    type: str
    input_key: str
    template: PictureTemplate
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class GetTask(Message[Task]):
    """Raises TaskNotFound, NotAllowed for somebody else's."""

    user_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class TaskPage:
    """`next` starts the following page, None at the end; `total` counts all that fit the filter."""

    tasks: Sequence[Task]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class ListTasks(Message[TaskPage]):
    wanted: TaskFilter
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class Report(Message[None]):
    """What a worker outside this process says of a task. Raises TaskNotFound, TaskFinished."""

    task_id: str
    status: TaskStatus
    results: Sequence[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Finish(Message[None]):
    """A job of this process made the pictures. Nothing happens when its lease was taken over."""

    task: Task
    results: Sequence[str]


@dataclass(frozen=True, slots=True)
class Fail(Message[None]):
    """A job of this process cannot be done. Nothing happens when its lease was taken over."""

    task: Task
    reason: str


@dataclass(frozen=True, slots=True)
class Release(Message[None]):
    """A job of this process was not done and should be, later. `interrupted`: it was tried, and that counts."""

    task: Task
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Work(Message[None]):
    """Take waiting tasks while a worker is free. Only a wake-up: it may get lost or come twice."""


@dataclass(frozen=True, slots=True)
class Sweep(Message[None]):
    """Repair from rows: give up leases that ran out, and look for work."""


class Tasks(Actor):
    """The task actor: `workers` tasks run at the same time, `cost` is in generations by task type.

    Without `workers` here, other workers run the tasks. `folder` is for unfinished pictures and is emptied at start-up.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        quota: Quota,
        store: ObjectStore,
        pictures: PictureWorkers,
        workers: int,
        cost: Mapping[str, int],
        folder: Path,
    ) -> None:
        super().__init__(jobs=2 * workers + 1)  # a job that has just ended may still be counted
        self._db, self._clock, self._quota = db, clock, quota
        self._store, self._pictures = store, pictures
        self._workers, self._cost, self._folder = workers, cost, folder
        self._busy = 0
        self._closing = False
        self.forward(CreateTask, self._create, quota, Charge)
        self.on_batch((GetTask,), self._get)
        self.on(ListTasks, self._list)
        self.on(Report, self._report)
        self.on(Finish, self._finish)
        self.on(Fail, self._fail)
        self.on(Release, self._release)
        self.on_batch((Work,), self._work)
        self.on(Sweep, self._sweep)
        self.every(SWEEP_SECONDS, Sweep())

    async def recover(self) -> None:
        """Once, before start: whoever held a lease died with the former process."""
        now = self._clock.now()
        await self._db.write(lambda connection: tasks.expire_leases(connection, now))

    def drain(self) -> None:
        """Before stop: the work under way may end, the rest waits in its rows for the next start."""
        self._closing = True

    # --- for people ---

    async def _create(self, wanted: CreateTask) -> Created:
        try:
            receipt = await self._quota.ask(self._charge(wanted, self._clock.now()))
        finally:  # the asker may be gone, or the outcome unknown; there may be a task all the same
            self._wake()
        return Created(receipt.reference, receipt.at, receipt.balance)

    def _charge(self, wanted: CreateTask, now: int) -> Charge:
        params = {"template": wanted.template.value}
        task = NewTask(new_id(), wanted.user_id, wanted.type, wanted.input_key, params, now)
        return Charge(task, self._cost[wanted.type], wanted.key)

    async def _get(self, batch: Sequence[GetTask]) -> Sequence[object]:
        ids = {query.task_id for query in batch}
        found = await self._db.fetch(lambda connection: tasks.load(connection, ids))
        return [_owned(found.get(query.task_id), query.user_id) for query in batch]

    async def _list(self, query: ListTasks) -> TaskPage:
        def read(connection: Connection) -> tuple[list[Task], int]:
            page = tasks.page(connection, query.wanted, query.limit + 1, query.offset)
            return page, tasks.count(connection, query.wanted)

        found, total = await self._db.read(read)
        page = found[: query.limit]
        return TaskPage(page, total, page[-1].id if len(found) > query.limit else None)

    # --- for workers ---

    async def _report(self, report: Report) -> None:
        found = await self._db.read(lambda connection: tasks.load(connection, [report.task_id]))
        task = found.get(report.task_id)
        if task is None:
            raise TaskNotFound
        if not await self._won(task, report):
            found = await self._db.read(lambda connection: tasks.load(connection, [report.task_id]))
            raise TaskFinished(status=found[report.task_id].status)

    async def _won(self, task: Task, report: Report) -> bool:
        now = self._clock.now()
        match report.status:
            case TaskStatus.FAILED:
                return await self._quota.ask(Refund(FailedTask(task.id, task.user_id, report.reason))) is not None
            case TaskStatus.SUCCESS:
                return await self._db.write(lambda c: tasks.win_success(c, task.id, report.results, None, now))
            case _:
                return await self._db.write(lambda c: tasks.take_over(c, task.id, now, now + OUTSIDE_LEASE))

    async def _finish(self, done: Finish) -> None:
        now, task = self._clock.now(), done.task
        await self._db.write(lambda c: tasks.win_success(c, task.id, done.results, task.attempt, now))

    async def _fail(self, failure: Fail) -> None:
        task = failure.task
        await self._quota.ask(Refund(FailedTask(task.id, task.user_id, failure.reason, task.attempt)))

    async def _release(self, release: Release) -> None:
        now = self._clock.now()
        held, interrupted = [release.task], release.interrupted
        await self._db.write(lambda connection: tasks.release(connection, held, now, interrupted=interrupted))

    # --- the queue ---

    def _wake(self) -> None:
        if self._workers and not self._closing and not self.has_waiting(Work):
            with contextlib.suppress(Overloaded):  # the sweep wakes up whoever is left waiting
                self.tell(Work())

    async def _work(self, batch: Sequence[Work]) -> Sequence[None]:
        free = self._workers - self._busy
        if free > 0 and not self._closing:
            now = self._clock.now()
            claimed = await self._db.write(lambda c: tasks.claim(c, BASIC_CLEAN, free, now, now + LEASE))
            for task in claimed:
                self.start_job(self._carry_out(task))  # which begins later, so that a refused job is not counted
                self._busy += 1
        return [None] * len(batch)

    async def _carry_out(self, task: Task) -> None:
        outcome = await self._outcome(task)
        try:
            await self.report(outcome)
        except (StorageError, CommitFailed, Overloaded) as fault:
            log.warning("a task stays leased until the sweep takes it back", task=task.id, fault=repr(fault))
        finally:
            self._busy -= 1
        if not isinstance(outcome, Release):  # what stood in the way may take time to pass: leave it to the sweep
            self._wake()

    async def _outcome(self, task: Task) -> Message[None]:
        try:
            async with asyncio.timeout(LEASE / 1000):
                pictures = await make_pictures(task, self._store, self._pictures, self._folder)
                return Finish(task, pictures)
        except PictureRefused as refusal:
            return Fail(task, refusal.reason)
        except FileMissing:
            return Fail(task, "input_missing")
        except Overloaded:  # at the end nothing was tried; before it, the workers cannot do their work
            return Release(task, interrupted=False) if self._closing else self._again(task)
        except (TimeoutError, OSError) as fault:
            log.warning("a task could not be done", task=task.id, attempt=task.attempt, fault=repr(fault))
            return self._again(task)
        except Exception:
            log.exception("a task failed", task=task.id, attempt=task.attempt)
            return Fail(task, "internal")

    def _again(self, task: Task) -> Release | Fail:
        """After an interruption: once more, but not for ever."""
        too_often = task.interruptions + 1 >= INTERRUPTIONS
        return Fail(task, "interrupted") if too_often else Release(task, interrupted=True)

    async def _sweep(self, _: Sweep) -> None:
        now = self._clock.now()
        for task in await self._db.read(lambda connection: tasks.expired_leases(connection, now, SWEEP_BATCH)):
            log.warning("whoever held a task is gone", task=task.id, attempt=task.attempt)
            outcome = Fail(task, "abandoned") if task.holder is Holder.OUTSIDE else self._again(task)
            await (self._fail(outcome) if isinstance(outcome, Fail) else self._release(outcome))
        self._wake()


def _owned(task: Task | None, user_id: str) -> Task | TaskNotFound | NotAllowed:
    if task is None:
        return TaskNotFound()
    return task if task.user_id == user_id else NotAllowed()
