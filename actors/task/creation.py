"""Creating tasks: the request is checked, and the task is inserted together with its charge."""

from __future__ import annotations

from collections.abc import Callable

from actors.errors import DomainError, FileMissing, MissingReference, StorageError, TooManyTasks
from actors.idempotency import IdempotencyKey
from actors.ids import new_id
from actors.ports import Clock, ObjectStore
from actors.quota.actor import Quota
from actors.quota.commands import Charge, Receipt
from actors.task.fair_turns import FairTurns
from actors.task.inputs import InputsInUse
from actors.task.media import Media
from actors.task.messages import CreateTask, TaskCreated
from actors.task.minute_limit import MinuteLimit
from actors.task.settings import TaskSettings
from actors.task.task_type import TaskType, TaskTypes
from storage.engine.connection import Connection
from storage.task import queue
from storage.task.tasks import NewTask


class Creation:
    """Creates tasks. `wake` is called when there may be a new one."""

    def __init__(
        self,
        clock: Clock,
        quota: Quota,
        store: ObjectStore,
        types: TaskTypes,
        settings: TaskSettings,
        inputs: InputsInUse,
        wake: Callable[[], None],
    ) -> None:
        self._clock, self._quota, self._types = clock, quota, types
        self._store, self._media, self._inputs, self._wake = store, Media(store), inputs, wake
        self._cost = {name: settings.cost_of(each) for name, each in types.items()}
        self._limits = {name: MinuteLimit(settings.limits_of(each).per_minute) for name, each in types.items()}
        self.turns = {name: FairTurns() for name in types}

    def restore_turns(self, connection: Connection) -> None:
        """Continue with the turns of the tasks that are waiting."""
        for name, turns in self.turns.items():
            stored = queue.turns(connection, name)
            turns.restore(stored.first, stored.last)

    async def create(self, request: CreateTask) -> TaskCreated:
        """See CreateTask."""
        task_type = self._types.find(request.type)
        params = task_type.parse(request.params)
        input_key = self._media.own_input_key(request.user_id, request.input_url)
        key = IdempotencyKey.of(request.key, task_type.name, input_key, params)
        stored = await self._store.exists(input_key)
        refusal = self._refusal(task_type, request.user_id, input_key, stored=stored)
        if refusal is not None and key is None:
            raise refusal
        turn = self.turns[task_type.name].take(request.user_id)
        task = NewTask(new_id(), request.user_id, task_type.name, input_key, params, self._clock.now(), turn)
        receipt = await self._charge(Charge(task, self._cost[task_type.name], key, refusal))
        return TaskCreated(receipt.reference, receipt.at, receipt.balance)

    def _refusal(self, task_type: TaskType, user_id: str, input_key: str, *, stored: bool) -> DomainError | None:
        """Return why no new task can be created. A task that the same key created before is still returned."""
        if not stored or self._inputs.is_being_deleted(input_key):
            return FileMissing()
        limit = self._limits[task_type.name]
        seconds = limit.take(user_id, self._clock.now())
        return TooManyTasks(type=task_type.name, limit=limit.limit, retry_after=seconds) if seconds else None

    async def _charge(self, charge: Charge) -> Receipt:
        task = charge.task
        created = True
        try:
            with self._inputs.needed(task.input_key):
                receipt = await self._quota.ask(charge)
            created = receipt.reference == task.id
            return receipt
        except (DomainError, MissingReference, StorageError):
            created = False
            raise
        finally:  # the task may exist even if the sender is gone or the outcome of the commit is unknown
            self._wake()
            if not created:
                self._take_back(charge)

    def _take_back(self, charge: Charge) -> None:
        """No task was created, so it counts neither as a turn nor against the limit."""
        self.turns[charge.task.type].give_back(charge.task.user_id)
        if charge.refusal is None:
            self._limits[charge.task.type].give_back(charge.task.user_id)
