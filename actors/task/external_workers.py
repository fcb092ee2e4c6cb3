"""The reports of external workers, which carry out tasks outside this process."""

from __future__ import annotations

from collections.abc import Callable

from actors.durations import HOUR
from actors.errors import LeaseLost, NotAllowed, TaskFinished, TaskNotFound
from actors.ports import Clock
from actors.quota.actor import Quota
from actors.runtime import Actor
from actors.task.media import owner_id
from actors.task.messages import ReportStatus, Task, TaskStatus
from actors.task.outcomes import Outcomes
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task import pictures, queue, tasks

EXTERNAL_LEASE = HOUR  # milliseconds within which an external worker has to report again


class ExternalWorkers:
    """Handles `ReportStatus`. `stop_attempts` stops what this process does for a task that was taken from it."""

    def __init__(
        self,
        actor: Actor,
        db: Database,
        clock: Clock,
        quota: Quota,
        outcomes: Outcomes,
        stop_attempts: Callable[[str], None],
    ) -> None:
        self._db, self._clock, self._quota, self._outcomes = db, clock, quota, outcomes
        self._stop_attempts = stop_attempts
        actor.on(ReportStatus, self._report)

    async def _report(self, report: ReportStatus) -> int:
        task = await self._find(report.task_id)
        if task is None:
            raise TaskNotFound
        if any(owner_id(key) != task.user_id for key in pictures.used_keys(task.input_key, report.results)):
            raise NotAllowed
        attempt = await self._apply(task, report)
        if attempt is None:
            final = await self._find(task.id)
            if final is None or final.status in (TaskStatus.SUCCESS, TaskStatus.FAILED):
                raise TaskFinished(status=(final or task).status)
            raise LeaseLost(attempt=report.attempt or 0)
        if report.attempt is None:
            self._stop_attempts(task.id)
        return attempt

    async def _find(self, task_id: str) -> Task | None:
        rows = await self._db.read(lambda connection: tasks.load(connection, [task_id]))
        return rows.get(task_id)

    async def _apply(self, task: Task, report: ReportStatus) -> int | None:
        """Carry out the report. Return the fencing token, or None when the task is final or the token outdated."""
        match report.status:
            case TaskStatus.FAILED:
                receipt = await self._quota.ask(self._outcomes.refund(task, report.reason, report.attempt))
                return None if receipt is None else report.attempt or task.attempt
            case TaskStatus.SUCCESS:
                won = await self._outcomes.succeed(task, report.results, report.attempt)
                return report.attempt or task.attempt if won else None
            case _:
                return await self._db.write(lambda connection: self._lease(connection, task, report))

    def _lease(self, connection: Connection, task: Task, report: ReportStatus) -> int | None:
        """Lease a task to the worker, or renew its lease, and store the progress. The lease ends with `total_hours`."""
        now = self._clock.now()
        end = task.created_at + self._outcomes.limits(task.type).total_hours * HOUR
        attempt, until = report.attempt, min(now + EXTERNAL_LEASE, end)
        if attempt is None:
            attempt = queue.take_over(connection, task.id, now, until)
        elif not queue.keep_lease(connection, task.id, attempt, until):
            attempt = None
        if attempt is not None and report.progress is not None:
            queue.set_progress(connection, [(task.id, attempt, min(99, report.progress))])
        return attempt
