"""An operator, and a worker elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from actors.errors import (
    MissingReference,
    TaskFinished,
)
from actors.quota.commands import Adjust, Receipt, Refund
from actors.task.messages import ReportStatus, TaskStatus
from storage.quota.adjustments import Adjustment
from storage.quota.ledger import EntryKind
from storage.task.tasks import FailedTask
from tests.torture.simulation.clients import NO_ANSWER, TRIES, Outside, adjusted, created_task
from tests.torture.simulation.oracle import FINAL
from tests.torture.simulation.users import Person


class Operator:
    """Changes balances, and cancels tasks."""

    def __init__(self, outside: Outside, people: Sequence[Person]) -> None:
        self._outside, self._script, self._witness = outside, outside.script, outside.witness
        self._people = people

    async def live(self) -> None:
        for number in range(self._script.random.randint(2, 8)):
            await asyncio.sleep(self._script.pause(self._script.random.choice((1, 20))))
            habit = self._script.random.choice((self._adjust, self._adjust, self._cancel, self._mistake))
            await habit(f"adjustment {number}")

    async def _adjust(self, name: str) -> None:
        user_id = self._script.random.choice(self._people).user_id
        if not user_id:
            return
        amount = self._script.random.choice((-4, -1, 3, 8, 20))
        for _ in range(TRIES):
            answered = await adjusted(self._outside, Adjust(Adjustment(name, user_id, "because", 0), amount))
            if answered and self._script.chance(0.7):
                return

    async def _cancel(self, _: str) -> None:
        task = created_task(self._outside)
        if task is None:
            return
        user_id, task_id = task
        try:
            receipt = await self._outside.server.ask(Refund(FailedTask(task_id, user_id, "cancelled")))
        except NO_ANSWER:
            return
        self._script.step(f"the operator cancels {task_id[-6:]}: {receipt}")
        if isinstance(receipt, Receipt):
            self._witness.confirm(user_id, EntryKind.REFUND, task_id)
            self._witness.final(task_id, TaskStatus.FAILED, (), "cancelled")
        else:
            ((status,),) = self._witness.rows("SELECT status FROM tasks WHERE id = ?", task_id)
            self._witness.check(status in FINAL, f"{task_id} could not be cancelled, and is {status}")

    async def _mistake(self, name: str) -> None:
        """Somebody who does not exist; the command breaks the transaction of a whole turn."""
        self._witness.missing.add((EntryKind.ADJUST, f"mistaken {name}"))
        try:
            await self._outside.server.ask(Adjust(Adjustment(f"mistaken {name}", "nobody", "a mistake", 0), 5))
        except (MissingReference, *NO_ANSWER):
            return
        self._witness.check(False, "nobody was given something")


class OutsideWorker:
    """Reports about tasks that it, or somebody else, works on."""

    def __init__(self, outside: Outside) -> None:
        self._outside, self._script, self._witness = outside, outside.script, outside.witness

    async def live(self) -> None:
        for _ in range(self._script.random.randint(2, 12)):
            await asyncio.sleep(self._script.pause(self._script.random.choice((1, 20))))
            task = created_task(self._outside)
            if task is not None:
                status = self._script.random.choice((TaskStatus.PROCESSING, TaskStatus.SUCCESS, TaskStatus.FAILED))
                await self._report(*task, status)

    async def finish_poses(self) -> None:
        """Nobody here makes poses: end those that are waiting."""
        for user_id, task_id in self._witness.rows(
            "SELECT user_id, id FROM tasks WHERE type = 'poses' AND status IN ('pending', 'processing') ORDER BY id"
        ):
            await self._report(user_id, task_id, self._script.random.choice(FINAL))

    async def _report(self, user_id: str, task_id: str, status: TaskStatus) -> None:
        results, reason = (["a.png"], "") if status is TaskStatus.SUCCESS else ([], "worker_failed")
        try:
            await self._outside.server.ask(ReportStatus(task_id, status, results, reason))
        except NO_ANSWER:
            return
        except TaskFinished as finished:
            ((kept,),) = self._witness.rows("SELECT status FROM tasks WHERE id = ?", task_id)
            self._witness.check(kept == finished.facts["status"], f"{task_id} is {kept}, reported as {finished}")
            return
        self._script.step(f"a worker elsewhere reports {status} of {task_id[-6:]}")
        if status is TaskStatus.FAILED:
            self._witness.confirm(user_id, EntryKind.REFUND, task_id)
            self._witness.final(task_id, status, (), reason)
        elif status is TaskStatus.SUCCESS:
            self._witness.final(task_id, status, tuple(results), None)
        else:
            self._witness.taken_over.add(task_id)
