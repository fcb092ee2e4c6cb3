"""The retry of a failed task: a new task of the same user with the same input, which the operator pays for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from actors.errors import DomainError, FileMissing, MissingReference, StorageError, TaskNotFailed, TaskNotFound
from actors.ids import new_id
from actors.message import Message
from actors.ports import Clock, ObjectStore
from actors.quota.actor import Quota
from actors.quota.commands import ChargeOperator, Receipt
from actors.quota.messages import EntryKind, GetEntriesOf
from actors.task.fair_turns import FairTurns
from actors.task.inputs import InputsInUse
from actors.task.messages import Task, TaskStatus
from actors.task.task_type import TaskTypes
from storage.engine.database import Database
from storage.task import records
from storage.task.tasks import NewTask

log = structlog.stdlib.get_logger("darkroom.task")


@dataclass(frozen=True, slots=True)
class Retried:
    """The result of a retry. `others` are the ids of the other tasks that retry the same one, the oldest first.

    `cost` is what the operator paid, and `balance` what the user has left (both in generations).
    """

    task_id: str
    retry_of: str
    cost: int
    balance: int
    others: Sequence[str]


@dataclass(frozen=True, slots=True)
class RetryTask(Message[Retried]):
    """Create a task like a failed one, for the same user. The operator pays what the failed one cost.

    Each of these messages creates a task. Raises TaskNotFound, TaskNotFailed, UnknownTaskType, BadParameter when the
    type no longer has these parameters, and FileMissing when the input, or the failed task itself, was deleted.
    """

    task_id: str
    reason: str


class Retries:
    """Handles RetryTask. `wake` is called when there may be a new task."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        quota: Quota,
        store: ObjectStore,
        types: TaskTypes,
        inputs: InputsInUse,
        turns: Mapping[str, FairTurns],
        wake: Callable[[], None],
    ) -> None:
        self._db, self._clock, self._quota, self._store, self._types = db, clock, quota, store, types
        self._inputs, self._turns, self._wake = inputs, turns, wake

    async def retry(self, command: RetryTask) -> Retried:
        """See RetryTask."""
        task = await self._failed_task(command.task_id)
        params = self._types.find(task.type).parse(task.params)
        cost = await self._charge_of(task)
        with self._inputs.needed(task.input_key):
            if self._inputs.is_being_deleted(task.input_key) or not await self._store.exists(task.input_key):
                raise FileMissing
            turn = self._turns[task.type].take(task.user_id)
            new = NewTask(
                *(new_id(), task.user_id, task.type, task.input_key, params, self._clock.now(), turn, task.id)
            )
            receipt = await self._charge(ChargeOperator(new, cost, f"retry of task {task.id}: {command.reason}"))
        log.warning("the operator retried a task", task=new.id, retry_of=task.id, reason=command.reason)
        retries = await self._db.fetch(lambda connection: records.retries(connection, task.id))
        return Retried(new.id, task.id, cost, receipt.balance, [other for other in retries if other != new.id])

    async def _failed_task(self, task_id: str) -> Task:
        record = await self._db.fetch(lambda connection: records.find(connection, task_id))
        if record is None:
            raise TaskNotFound
        if record.task.status is not TaskStatus.FAILED:
            raise TaskNotFailed(status=record.task.status)
        if record.deleted_at is not None:
            raise FileMissing
        return record.task

    async def _charge_of(self, task: Task) -> int:
        """Return what a task was charged, in generations. Every task has exactly one charge."""
        entries = await self._quota.ask(GetEntriesOf(task.id))
        return next(-entry.amount for entry, _ in entries if entry.kind is EntryKind.CHARGE)

    async def _charge(self, command: ChargeOperator) -> Receipt:
        try:
            return await self._quota.ask(command)
        except (DomainError, MissingReference, StorageError):
            self._turns[command.task.type].give_back(command.task.user_id)  # no task was created
            raise
        finally:  # the task may exist even if the sender is gone or the outcome of the commit is unknown
            self._wake()
