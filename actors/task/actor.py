"""The task actor: tasks are created with their charge, worked on from their rows, and failed with their refund."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import structlog

from actors.errors import CommitFailed, FileMissing, NotAllowed, Overloaded, StorageError, TaskFinished, TaskNotFound
from actors.ids import new_id
from actors.message import Message
from actors.ports import Clock, ObjectStore, PictureRefused, PictureWorkers
from actors.quota.actor import Quota
from actors.quota.commands import Charge, Refund
from actors.runtime import Actor
from actors.task.messages import (
    ClaimTasks,
    CreateTask,
    FailTask,
    FinishTask,
    GetTask,
    ListTasks,
    ReleaseTask,
    ReportStatus,
    Sweep,
    Task,
    TaskCreated,
    TaskPage,
    TaskStatus,
)
from actors.task.picture_job import make_pictures
from actors.task.settings import TaskSettings
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task import tasks
from storage.task.tasks import FailedTask, Holder, NewTask

log = structlog.stdlib.get_logger("darkroom.task")

BASIC_CLEAN = "basic_clean"
LEASE = 120_000  # milliseconds; longer than a picture may take, reading and writing included
EXTERNAL_LEASE = 3_600_000  # milliseconds within which an external worker has to report
INTERRUPTIONS = 5  # a task that was interrupted so many times fails and is not tried again
SWEEP_SECONDS = 15
SWEEP_BATCH = 100


class Tasks(Actor):
    """The task actor. `folder` is for unfinished pictures and is emptied at start-up."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        quota: Quota,
        store: ObjectStore,
        pictures: PictureWorkers,
        settings: TaskSettings,
        folder: Path,
    ) -> None:
        super().__init__(jobs=2 * settings.workers + 1)  # a job that has just ended may still be counted
        self._db, self._clock, self._quota = db, clock, quota
        self._store, self._pictures = store, pictures
        self._workers, self._cost, self._folder = settings.workers, settings.cost.model_dump(), folder
        self._busy_workers = 0
        self._draining = False
        self.forward(CreateTask, self._create, quota, Charge)
        self.on_batch((GetTask,), self._get)
        self.on(ListTasks, self._list)
        self.on(ReportStatus, self._report_status)
        self.on(FinishTask, self._finish)
        self.on(FailTask, self._fail)
        self.on(ReleaseTask, self._release)
        self.on_batch((ClaimTasks,), self._claim)
        self.on(Sweep, self._sweep)
        self.every(SWEEP_SECONDS, Sweep())

    async def recover(self) -> None:
        """End the leases of the former process, which has ended. To be called once, before `start`."""
        now = self._clock.now()
        await self._db.write(lambda connection: tasks.end_own_leases(connection, now))

    def drain(self) -> None:
        """Claim no more tasks. Tasks in progress may end; the others wait in their rows for the next start."""
        self._draining = True

    # --- for users ---

    async def _create(self, request: CreateTask) -> TaskCreated:
        try:
            receipt = await self._quota.ask(self._charge(request, self._clock.now()))
        finally:  # the task may exist even if the sender is gone or the outcome of the commit is unknown
            self._wake()
        return TaskCreated(receipt.reference, receipt.at, receipt.balance)

    def _charge(self, request: CreateTask, now: int) -> Charge:
        params = {"template": request.template.value}
        task = NewTask(new_id(), request.user_id, request.type, request.input_key, params, now)
        return Charge(task, self._cost[request.type], request.key)

    async def _get(self, batch: Sequence[GetTask]) -> Sequence[object]:
        ids = {query.task_id for query in batch}
        rows = await self._db.fetch(lambda connection: tasks.load(connection, ids))
        return [_check_owner(rows.get(query.task_id), query.user_id) for query in batch]

    async def _list(self, query: ListTasks) -> TaskPage:
        def read(connection: Connection) -> tuple[list[Task], int]:
            page = tasks.page(connection, query.filter, query.limit + 1, query.offset)
            return page, tasks.count(connection, query.filter)

        rows, total = await self._db.read(read)
        page = rows[: query.limit]
        return TaskPage(page, total, page[-1].id if len(rows) > query.limit else None)

    # --- for workers ---

    async def _report_status(self, report: ReportStatus) -> None:
        task = await self._find_task(report.task_id)
        if task is None:
            raise TaskNotFound
        if not await self._win(task, report):
            final = await self._find_task(task.id)
            assert final is not None, "tasks are never deleted"
            raise TaskFinished(status=final.status)

    async def _find_task(self, task_id: str) -> Task | None:
        rows = await self._db.read(lambda connection: tasks.load(connection, [task_id]))
        return rows.get(task_id)

    async def _win(self, task: Task, report: ReportStatus) -> bool:
        """Set the reported status if the task is not final yet; return whether it was set."""
        now = self._clock.now()
        match report.status:
            case TaskStatus.FAILED:
                return await self._quota.ask(Refund(FailedTask(task.id, task.user_id, report.reason))) is not None
            case TaskStatus.SUCCESS:
                return await self._db.write(lambda c: tasks.win_success(c, task.id, report.results, None, now))
            case _:
                return await self._db.write(lambda c: tasks.take_over(c, task.id, now, now + EXTERNAL_LEASE))

    async def _finish(self, success: FinishTask) -> None:
        now, task = self._clock.now(), success.task
        await self._db.write(lambda c: tasks.win_success(c, task.id, success.results, task.attempt, now))

    async def _fail(self, failure: FailTask) -> None:
        task = failure.task
        await self._quota.ask(Refund(FailedTask(task.id, task.user_id, failure.reason, task.attempt)))

    async def _release(self, release: ReleaseTask) -> None:
        now = self._clock.now()
        held, interrupted = [release.task], release.interrupted
        await self._db.write(lambda connection: tasks.release(connection, held, now, interrupted=interrupted))

    # --- the queue ---

    def _wake(self) -> None:
        if self._workers and not self._draining and not self.has_waiting(ClaimTasks):
            with contextlib.suppress(Overloaded):  # the next sweep claims the waiting tasks
                self.tell(ClaimTasks())

    async def _claim(self, batch: Sequence[ClaimTasks]) -> Sequence[None]:
        free_workers = self._workers - self._busy_workers
        if free_workers > 0 and not self._draining:
            now = self._clock.now()
            claimed = await self._db.write(lambda c: tasks.claim(c, BASIC_CLEAN, free_workers, now, now + LEASE))
            for task in claimed:
                self.start_job(self._work_on(task))  # raises before the worker is counted as busy
                self._busy_workers += 1
        return [None] * len(batch)

    async def _work_on(self, task: Task) -> None:
        outcome = await self._attempt(task)
        try:
            await self.ask_from_job(outcome)
        except (StorageError, CommitFailed, Overloaded) as fault:
            log.warning("a task stays leased until a sweep takes it back", task=task.id, fault=repr(fault))
        finally:
            self._busy_workers -= 1
        if not isinstance(outcome, ReleaseTask):  # trying again at once would meet the same obstacle; the sweep does it
            self._wake()

    async def _attempt(self, task: Task) -> Message[None]:
        """Do the work of a task; return the message that ends or releases it."""
        try:
            async with asyncio.timeout(LEASE / 1000):
                pictures = await make_pictures(task, self._store, self._pictures, self._folder)
                return FinishTask(task, pictures)
        except PictureRefused as refusal:
            return FailTask(task, refusal.reason)
        except FileMissing:
            return FailTask(task, "input_missing")
        except Overloaded:  # while draining nothing was tried; at other times the workers do not work
            return ReleaseTask(task, interrupted=False) if self._draining else self._after_interruption(task)
        except (TimeoutError, OSError) as fault:
            log.warning("an attempt at a task was interrupted", task=task.id, attempt=task.attempt, fault=repr(fault))
            return self._after_interruption(task)
        except Exception:
            log.exception("a task failed", task=task.id, attempt=task.attempt)
            return FailTask(task, "internal")

    def _after_interruption(self, task: Task) -> ReleaseTask | FailTask:
        """Try the task again, unless it has been interrupted too often."""
        too_often = task.interruptions + 1 >= INTERRUPTIONS
        return FailTask(task, "interrupted") if too_often else ReleaseTask(task, interrupted=True)

    async def _sweep(self, _: Sweep) -> None:
        now = self._clock.now()
        for task in await self._db.read(lambda connection: tasks.load_expired_leases(connection, now, SWEEP_BATCH)):
            log.warning("the lease of a task expired", task=task.id, attempt=task.attempt)
            is_external = task.holder is Holder.OUTSIDE
            outcome = FailTask(task, "abandoned") if is_external else self._after_interruption(task)
            await (self._fail(outcome) if isinstance(outcome, FailTask) else self._release(outcome))
        self._wake()


def _check_owner(task: Task | None, user_id: str) -> Task | TaskNotFound | NotAllowed:
    if task is None:
        return TaskNotFound()
    return task if task.user_id == user_id else NotAllowed()
