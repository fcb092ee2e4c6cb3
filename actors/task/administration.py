"""What the operator can do with everybody's tasks; retry.py has the retry of a failed one.

A new call needs a message and a handler here, and a command in server/operator/tasks.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from actors.errors import TaskNotFound
from actors.message import Message
from actors.ports import Clock
from actors.quota.actor import Quota
from actors.quota.messages import GetEntriesOf, LedgerEntry
from actors.runtime import Actor
from actors.task.cancellation import Cancellation
from actors.task.messages import Task
from actors.task.task_type import TaskType, TaskTypes
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task import records, transitions
from storage.task.records import Selected as Selected
from storage.task.records import Selection as Selection
from storage.task.records import TaskRecord as TaskRecord
from storage.task.transitions import Transition as Transition
from storage.task.transitions import TransitionKind as TransitionKind

log = structlog.stdlib.get_logger("darkroom.task")


@dataclass(frozen=True, slots=True)
class SelectedTasks:
    """The tasks of a selection. `are_all` is whether no others match; `at` is the time in epoch milliseconds."""

    tasks: Sequence[Task]
    are_all: bool
    at: int


@dataclass(frozen=True, slots=True)
class SelectTasks(Message[SelectedTasks]):
    """Return the tasks of a selection, whoever's they are."""

    selection: Selection


@dataclass(frozen=True, slots=True)
class TaskDetails:
    """Everything that is known of a task. `type` is None when it is no longer in the registry.

    `history` has the transitions after its creation, and `entries` the ledger entries that it explains, each with the
    reason if it is an adjustment. `retries` are the ids of the tasks that retry this one. All have the oldest first.
    """

    record: TaskRecord
    type: TaskType | None
    history: Sequence[Transition]
    entries: Sequence[tuple[LedgerEntry, str | None]]
    retries: Sequence[str]


@dataclass(frozen=True, slots=True)
class GetTaskDetails(Message[TaskDetails]):
    """Return the details of a task, also of a deleted one. Raises TaskNotFound."""

    task_id: str


@dataclass(frozen=True, slots=True)
class CancelForUser(Message[Task]):
    """Cancel a task as its user can, and return it. Raises TaskNotFound, TaskFinished, TaskHeld."""

    task_id: str


@dataclass(frozen=True, slots=True)
class EndTask(Message[Task]):
    """Fail and refund an unfinished task, whoever holds it, and return it. Its user sees the `reason`.

    Raises TaskNotFound, TaskFinished.
    """

    task_id: str
    reason: str


class Administration:
    """Handles the messages of this module for the task actor."""

    def __init__(
        self,
        actor: Actor,
        db: Database,
        clock: Clock,
        quota: Quota,
        types: TaskTypes,
        cancellation: Cancellation,
    ) -> None:
        self._db, self._clock, self._quota, self._types, self._cancellation = db, clock, quota, types, cancellation
        actor.on(SelectTasks, self._select)
        actor.on(GetTaskDetails, self._details)
        actor.on(CancelForUser, self._cancel)
        actor.on(EndTask, self._end)

    async def _select(self, query: SelectTasks) -> SelectedTasks:
        limit = query.selection.limit
        one_more = Selection(query.selection.selected, limit + 1, query.selection.type, query.selection.user_id)
        tasks = await self._db.fetch(lambda connection: records.select(connection, one_more))
        return SelectedTasks(tasks[:limit], len(tasks) <= limit, self._clock.now())

    async def _details(self, query: GetTaskDetails) -> TaskDetails:
        def read(connection: Connection) -> tuple[TaskRecord | None, list[Transition], list[str]]:
            history = transitions.history(connection, query.task_id)
            return records.find(connection, query.task_id), history, records.retries(connection, query.task_id)

        record, history, retries = await self._db.read(read)
        if record is None:
            raise TaskNotFound
        entries = await self._quota.ask(GetEntriesOf(query.task_id))
        return TaskDetails(record, self._types.get(record.task.type), history, entries, retries)

    async def _cancel(self, command: CancelForUser) -> Task:
        task = await self._cancellation.cancel(await self._find(command.task_id))
        log.warning("the operator cancelled a task", task=task.id, user=task.user_id)
        return task

    async def _end(self, command: EndTask) -> Task:
        task = await self._cancellation.end(await self._find(command.task_id), command.reason)
        log.warning("the operator failed a task", task=task.id, user=task.user_id, reason=command.reason)
        return task

    async def _find(self, task_id: str) -> Task:
        record = await self._db.fetch(lambda connection: records.find(connection, task_id))
        if record is None:
            raise TaskNotFound
        return record.task
