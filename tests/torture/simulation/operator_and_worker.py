"""An operator, and an external worker."""

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
from tests.torture.simulation.clients import ATTEMPTS, NO_ANSWER, ClientContext, adjust_quota, choose_created_task
from tests.torture.simulation.oracle import FINAL
from tests.torture.simulation.users import SimulatedUser


class Operator:
    """Adjusts balances and cancels tasks."""

    def __init__(self, context: ClientContext, users: Sequence[SimulatedUser]) -> None:
        self._context, self._schedule, self._oracle = context, context.schedule, context.oracle
        self._users = users

    async def run(self) -> None:
        for number in range(self._schedule.random.randint(2, 8)):
            await asyncio.sleep(self._schedule.pause(self._schedule.random.choice((1, 20))))
            actions = (self._adjust, self._adjust, self._cancel, self._adjust_unknown_user)
            await self._schedule.random.choice(actions)(f"adjustment {number}")

    async def _adjust(self, name: str) -> None:
        user_id = self._schedule.random.choice(self._users).user_id
        if not user_id:
            return
        amount = self._schedule.random.choice((-4, -1, 3, 8, 20))
        for _ in range(ATTEMPTS):
            answered = await adjust_quota(self._context, Adjust(Adjustment(name, user_id, "a reason", 0), amount))
            if answered and self._schedule.chance(0.7):
                return

    async def _cancel(self, _: str) -> None:
        task = choose_created_task(self._context)
        if task is None:
            return
        user_id, task_id = task
        try:
            receipt = await self._context.server.ask(Refund(FailedTask(task_id, user_id, "cancelled")))
        except NO_ANSWER:
            return
        self._schedule.step(f"the operator cancels {task_id[-6:]}: {receipt}")
        if isinstance(receipt, Receipt):
            self._oracle.confirm(user_id, EntryKind.REFUND, task_id)
            self._oracle.final_state_shown(task_id, TaskStatus.FAILED, (), "cancelled")
        else:
            ((status,),) = self._oracle.rows("SELECT status FROM tasks WHERE id = ?", task_id)
            self._oracle.check(status in FINAL, f"{task_id} could not be cancelled, and is {status}")

    async def _adjust_unknown_user(self, name: str) -> None:
        """Adjust the balance of a user who does not exist, which breaks the transaction of a whole batch."""
        self._oracle.refused_entries.add((EntryKind.ADJUST, f"mistaken {name}"))
        try:
            adjustment = Adjustment(f"mistaken {name}", "unknown user", "a mistake", 0)
            await self._context.server.ask(Adjust(adjustment, 5))
        except (MissingReference, *NO_ANSWER):
            return
        self._oracle.check(False, "an unknown user was given quota")


class ExternalWorker:
    """Reports the status of tasks, also of tasks that another worker holds."""

    def __init__(self, context: ClientContext) -> None:
        self._context, self._schedule, self._oracle = context, context.schedule, context.oracle

    async def run(self) -> None:
        for _ in range(self._schedule.random.randint(2, 12)):
            await asyncio.sleep(self._schedule.pause(self._schedule.random.choice((1, 20))))
            task = choose_created_task(self._context)
            if task is not None:
                status = self._schedule.random.choice((TaskStatus.PROCESSING, TaskStatus.SUCCESS, TaskStatus.FAILED))
                await self._report(*task, status)

    async def finish_poses(self) -> None:
        """End the waiting tasks of type "poses", because no worker of the simulated server does."""
        for user_id, task_id in self._oracle.rows(
            "SELECT user_id, id FROM tasks WHERE type = 'poses' AND status IN ('pending', 'processing') ORDER BY id"
        ):
            await self._report(user_id, task_id, self._schedule.random.choice(FINAL))

    async def _report(self, user_id: str, task_id: str, status: TaskStatus) -> None:
        results, reason = (
            (["https://outside.test/a.png"], "") if status is TaskStatus.SUCCESS else ([], "worker_failed")
        )
        try:
            await self._context.server.ask(ReportStatus(task_id, status, results, reason))
        except NO_ANSWER:
            return
        except TaskFinished as error:
            ((stored,),) = self._oracle.rows("SELECT status FROM tasks WHERE id = ?", task_id)
            self._oracle.check(stored == error.facts["status"], f"{task_id} is {stored}, answered as {error}")
            return
        self._schedule.step(f"an external worker reports {status} of {task_id[-6:]}")
        if status is TaskStatus.FAILED:
            self._oracle.confirm(user_id, EntryKind.REFUND, task_id)
            self._oracle.final_state_shown(task_id, status, (), reason)
        elif status is TaskStatus.SUCCESS:
            self._oracle.final_state_shown(task_id, status, tuple(results), None)
        else:
            self._oracle.taken_over.add(task_id)
