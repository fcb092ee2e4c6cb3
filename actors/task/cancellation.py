"""Cancelling and deleting tasks, as their users ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors.errors import (
    DomainError,
    NotAllowed,
    TaskFinished,
    TaskHeld,
    TaskNotFound,
    TaskUnfinished,
    TooManyCancellations,
)
from actors.ports import Clock
from actors.quota.actor import Quota
from actors.runtime import Actor
from actors.task.fair_turns import FairTurns
from actors.task.messages import CancelTask, DeleteTask, Task, TaskStatus
from actors.task.minute_limit import MinuteLimit
from actors.task.outcomes import Outcomes
from actors.task.task_type import TaskTypes
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task import pictures, tasks

CANCELLATIONS_PER_MINUTE = 30  # of a user: each leaves rows behind although it costs no quota
FINAL = (TaskStatus.SUCCESS, TaskStatus.FAILED)


class Cancellation:
    """Handles CancelTask and DeleteTask."""

    def __init__(
        self,
        actor: Actor,
        db: Database,
        clock: Clock,
        quota: Quota,
        types: TaskTypes,
        outcomes: Outcomes,
        turns: Mapping[str, FairTurns],
        stop_attempts: Callable[[str], None],
        purge_pictures: Callable[[], None],
    ) -> None:
        self._db, self._clock, self._quota, self._types, self._outcomes = db, clock, quota, types, outcomes
        self._turns, self._stop_attempts, self._purge_pictures = turns, stop_attempts, purge_pictures
        self._limit = MinuteLimit(CANCELLATIONS_PER_MINUTE)
        actor.on(CancelTask, self._cancel)
        actor.on(DeleteTask, self._delete)

    async def _cancel(self, request: CancelTask) -> Task:
        task = await self._find(request)
        if seconds := self._limit.take(request.user_id, self._clock.now()):
            raise TooManyCancellations(limit=CANCELLATIONS_PER_MINUTE, retry_after=seconds)
        try:
            return await self.cancel(task)
        except DomainError:
            self._limit.give_back(request.user_id)
            raise

    async def cancel(self, task: Task) -> Task:
        """Cancel a task if it is not held or can be stopped, and return it. Raises TaskFinished, TaskHeld."""
        can_be_stopped = task.type in self._types and self._types[task.type].can_be_stopped
        return await self.end(task, "cancelled", only_unheld=not can_be_stopped)

    async def end(self, task: Task, reason: str, *, only_unheld: bool = False) -> Task:
        """Fail and refund a task, stop its attempt in this process, and return it.

        Raises TaskFinished, and with `only_unheld` TaskHeld.
        """
        receipt = await self._quota.ask(self._outcomes.refund(task, reason, only_unheld=only_unheld))
        current = (await self._db.read(lambda connection: tasks.load(connection, [task.id]))).get(task.id, task)
        if receipt is None:
            raise TaskFinished(status=current.status) if current.status in FINAL else TaskHeld
        self._stop_attempts(task.id)
        if not task.attempt and task.type in self._turns:
            self._turns[task.type].give_back(task.user_id)
        return current

    async def _delete(self, request: DeleteTask) -> None:
        task = await self._find(request)
        if task.status not in FINAL:
            raise TaskUnfinished(status=task.status)
        if not await self._db.write(lambda connection: self._delete_row(connection, task)):
            raise TaskNotFound
        self._purge_pictures()

    def _delete_row(self, connection: Connection, task: Task) -> bool:
        now = self._clock.now()
        deleted = tasks.delete(connection, task.id, now)
        if deleted:
            pictures.remove_uses(connection, pictures.used_keys(task.input_key, task.results), now)
        return deleted

    async def _find(self, request: CancelTask | DeleteTask) -> Task:
        rows = await self._db.read(lambda connection: tasks.load(connection, [request.task_id]))
        return check_owner(rows.get(request.task_id), request.user_id)


def check_owner(task: Task | None, user_id: str) -> Task:
    """Return the task of a user. Raises TaskNotFound, NotAllowed."""
    if task is None:
        raise TaskNotFound
    if task.user_id != user_id:
        raise NotAllowed
    return task
