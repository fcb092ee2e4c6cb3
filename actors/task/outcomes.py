"""How attempts end: a task succeeds, fails with its refund, or is put back."""

from __future__ import annotations

from collections.abc import Sequence

from actors.durations import DAY
from actors.ports import Clock
from actors.quota.actor import Quota
from actors.quota.commands import Refund
from actors.runtime import Actor
from actors.task.backoff import backoff
from actors.task.messages import (
    FailTask,
    FinishTask,
    InterruptTask,
    PostponeTask,
    ReleaseTask,
    ReportProgress,
    Task,
)
from actors.task.settings import TaskSettings
from actors.task.task_type import TaskTypes, TypeLimits
from storage.engine.database import Database
from storage.task import queue, transitions
from storage.task.tasks import FailedTask
from storage.task.transitions import Change, TransitionKind

MAX_POSTPONEMENT = DAY  # milliseconds


class Outcomes:
    """Handles what the jobs of the task actor report. None of it changes a task whose lease was taken over."""

    def __init__(
        self, actor: Actor, db: Database, clock: Clock, quota: Quota, types: TaskTypes, settings: TaskSettings
    ) -> None:
        self._db, self._clock, self._quota, self._types, self._settings = db, clock, quota, types, settings
        actor.on_batch((ReportProgress,), self._report_progress)
        actor.on(FinishTask, self._finish)
        actor.on(FailTask, self._fail)
        actor.on(InterruptTask, self.interrupt)
        actor.on(PostponeTask, self._postpone)
        actor.on(ReleaseTask, self._release)

    def limits(self, type: str) -> TypeLimits:
        """Return the limits of a type, and the defaults for a type that is no longer in the registry."""
        return self._settings.limits_of(self._types[type]) if type in self._types else TypeLimits()

    def refund(self, task: Task, reason: str, attempt: int | None = None, *, only_unheld: bool = False) -> Refund:
        """Return the command that fails a task and refunds it."""
        until = self._clock.now() + self._settings.failed_input_days * DAY
        return Refund(FailedTask(task.id, task.user_id, reason, attempt, only_unheld, until))

    async def succeed(self, task: Task, results: Sequence[str], attempt: int | None) -> bool:
        """Finish a task; with `attempt`, only while this is its fencing token. Return whether this call did."""
        now = self._clock.now()
        until = now + self._settings.pictures_days * DAY
        return await self._db.write(lambda c: transitions.win_success(c, task.id, results, attempt, now, until))

    async def interrupt(self, interruption: InterruptTask, *, at_once: bool = False) -> None:
        """Put a task back for another attempt, after a while or `at_once`, or fail it when there were enough."""
        task, interruptions = interruption.task, interruption.task.interruptions + 1
        if interruptions >= self.limits(task.type).attempts:
            await self._quota.ask(self.refund(task, "interrupted", task.attempt))
            return
        until = self._clock.now() + (0 if at_once else backoff(interruptions))
        change = Change(task.id, attempt=task.attempt, reason=interruption.reason, until=until)
        await self._apply(TransitionKind.INTERRUPTED, change)

    async def _report_progress(self, batch: Sequence[ReportProgress]) -> Sequence[None]:
        progress = [(report.task.id, report.task.attempt, report.percent) for report in batch]
        await self._db.write(lambda connection: queue.set_progress(connection, progress))
        return [None] * len(batch)

    async def _finish(self, success: FinishTask) -> None:
        await self.succeed(success.task, success.results, success.task.attempt)

    async def _fail(self, failure: FailTask) -> None:
        await self._quota.ask(self.refund(failure.task, failure.reason, failure.task.attempt))

    async def _postpone(self, message: PostponeTask) -> None:
        until = self._clock.now() + min(round(message.seconds * 1000), MAX_POSTPONEMENT)
        change = Change(message.task.id, attempt=message.task.attempt, reason=message.reason, until=until)
        await self._apply(TransitionKind.POSTPONED, change)

    async def _release(self, release: ReleaseTask) -> None:
        await self._apply(TransitionKind.RELEASED, Change(release.task.id, attempt=release.task.attempt))

    async def _apply(self, kind: TransitionKind, change: Change) -> bool:
        now = self._clock.now()
        return bool(await self._db.write(lambda connection: transitions.apply(connection, kind, [change], now)))
