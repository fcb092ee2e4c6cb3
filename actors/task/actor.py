"""The task actor: tasks are created with their charge, worked on from their rows, and failed with their refund.

The parts of its work are modules of their own: creation, attempts in this process and their outcomes, external workers,
the sweep, cancellation, and the cleanup of pictures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from actors.errors import DomainError, Overloaded
from actors.ports import Clock, ObjectStore, PictureWorkers
from actors.quota.actor import Quota
from actors.quota.commands import Charge, ChargeOperator
from actors.retention import Purge
from actors.runtime import Actor
from actors.schedule import GetNextDue
from actors.single_job import SingleJob
from actors.task.administration import Administration
from actors.task.attempts import Attempts
from actors.task.cancellation import Cancellation, check_owner
from actors.task.creation import Creation
from actors.task.external_workers import ExternalWorkers
from actors.task.inputs import InputsInUse
from actors.task.messages import (
    ClaimTasks,
    CreateTask,
    GetTask,
    GetTypes,
    ListTasks,
    RenewLeases,
    Sweep,
    Task,
    TaskPage,
    TaskTerms,
)
from actors.task.outcomes import Outcomes
from actors.task.picture_cleanup import PictureCleanup
from actors.task.registry import TASK_TYPES
from actors.task.retry import Retries, RetryTask
from actors.task.settings import TaskSettings
from actors.task.sweeper import SWEEP_SECONDS, Sweeper
from actors.task.task_type import TaskTypes
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task import queue, tasks


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
        types: TaskTypes = TASK_TYPES,
    ) -> None:
        super().__init__(jobs=2 * settings.workers + 4)  # a job that has just ended may still be counted
        self._db, self._clock, self._types, self._settings = db, clock, types, settings
        inputs = InputsInUse()
        self._attempts = Attempts(self, db, clock, store, pictures, types, settings, folder, self._wake)
        self._creation = Creation(clock, quota, store, types, settings, inputs, self._wake)
        outcomes = Outcomes(self, db, clock, quota, types, settings)
        self._sweeper = Sweeper(db, clock, quota, types, outcomes)
        ExternalWorkers(self, db, clock, quota, outcomes, self._attempts.stop)
        PictureCleanup(self, db, clock, store, settings, inputs)
        turns = self._creation.turns
        cancellation = Cancellation(
            self, db, clock, quota, types, outcomes, turns, self._attempts.stop, self._purge_pictures
        )
        Administration(self, db, clock, quota, types, cancellation)
        retries = Retries(db, clock, quota, store, types, inputs, turns, self._wake)
        self.forward(RetryTask, retries.retry, quota, ChargeOperator)
        self.forward(CreateTask, self._creation.create, quota, Charge)
        self.on(GetTypes, self._get_types)
        self.on_batch((GetTask,), self._get)
        self.on(ListTasks, self._list)
        self.on_batch((ClaimTasks,), self._claim)
        SingleJob(self, Sweep(), SWEEP_SECONDS, self._sweep)
        self.on(GetNextDue, self._get_next_due)

    async def recover(self) -> None:
        """End the leases of the former process, which has ended. To be called once, before `start`."""
        now = self._clock.now()
        await self._db.write(lambda connection: queue.end_own_leases(connection, now))
        await self.restore_turns()

    async def restore_turns(self) -> None:
        """Continue with the turns of the tasks that are waiting, as `recover` does."""
        await self._db.read(self._creation.restore_turns)

    def drain(self) -> None:
        """Claim no more tasks. Tasks in progress may end; the others wait in their rows for the next start."""
        self._attempts.draining = True

    async def _get_types(self, _: GetTypes) -> Sequence[TaskTerms]:
        settings = self._settings
        return [TaskTerms(each, settings.cost_of(each), settings.limits_of(each)) for each in self._types.values()]

    async def _get(self, batch: Sequence[GetTask]) -> Sequence[object]:
        ids = {query.task_id for query in batch}
        rows = await self._db.fetch(lambda connection: tasks.load(connection, ids))
        return [_owned(rows.get(query.task_id), query.user_id) for query in batch]

    async def _list(self, query: ListTasks) -> TaskPage:
        def read(connection: Connection) -> tuple[list[Task], int]:
            page = tasks.page(connection, query.filter, query.limit + 1, query.offset)
            return page, tasks.count(connection, query.filter)

        rows, total = await self._db.read(read)
        page = rows[: query.limit]
        return TaskPage(page, total, page[-1].id if len(rows) > query.limit else None)

    def _wake(self) -> None:
        """Claim tasks soon, if a worker is free."""
        if self._attempts.free_workers and not self.has_waiting(ClaimTasks):
            with contextlib.suppress(Overloaded):  # the next sweep claims the waiting tasks
                self.tell(ClaimTasks())

    async def _claim(self, batch: Sequence[ClaimTasks]) -> Sequence[None]:
        for task in await self._attempts.claim():
            self._creation.turns[task.type].serve(task.turn)
        return [None] * len(batch)

    async def _sweep(self) -> None:
        await self._attempts.renew_leases(RenewLeases())  # so that no running attempt is swept after a pause
        await self._sweeper.sweep()
        self._wake()

    async def _get_next_due(self, query: GetNextDue) -> int | None:
        """Reply as GetNextDue says. While this process has tasks to carry out, there is work now."""
        now = self._clock.now()
        in_work = await self._attempts.count_in_work() if query.after < now else 0
        if in_work:
            return max(query.after + 1, now - in_work)  # it changes with each task, which shows that there is progress
        return await self._sweeper.next_due(query.after)

    def _purge_pictures(self) -> None:
        with contextlib.suppress(Overloaded):  # the next purge deletes them
            self.tell(Purge())


def _owned(task: Task | None, user_id: str) -> Task | DomainError:
    try:
        return check_owner(task, user_id)
    except DomainError as refusal:
        return refusal
