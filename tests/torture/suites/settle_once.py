"""Success, failure, expired leases and stale reports in random orders: one final state, and one refund if it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from actors.errors import TaskFinished
from actors.ids import new_id
from actors.ports import PictureTemplate
from actors.quota.actor import Quota
from actors.quota.commands import Adjust
from actors.task.actor import BASIC_CLEAN, EXTERNAL_LEASE, LEASE, Tasks
from actors.task.messages import (
    CreateTask,
    FailTask,
    FinishTask,
    GetTask,
    ReleaseTask,
    ReportStatus,
    Sweep,
    Task,
    TaskStatus,
)
from actors.task.settings import TaskSettings
from server.gateways.objects.local import LocalObjects
from server.gateways.pictures.pool import PictureProcesses
from storage.auth import users
from storage.auth.users import User
from storage.engine.database import Database
from storage.quota.adjustments import Adjustment
from storage.task import tasks
from tests.support.invariants import audit_violations
from tests.support.server import ManualClock
from tests.torture.mutants.tasks import setting_final_states
from tests.torture.suite import SuiteReport, run_rounds

NAME = "settled once, in random orders"
CONTROL = "a final state is set, not won"

TASKS = 100  # in a round
STEPS = 6
SHARE = 0.3  # of the tasks and leases that are used in a step
_FINAL = (TaskStatus.SUCCESS, TaskStatus.FAILED)
_USER = new_id()


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    return run_rounds(folder, seeds, _round, mutant=mutant)


async def _round(folder: Path, random: Random, mutant: bool) -> SuiteReport:
    db, clock = await Database.open(folder / "data"), ManualClock()
    store = LocalObjects(folder / "pictures", "http://127.0.0.1", "secret", clock)
    quota = Quota(db, clock)
    actor = Tasks(db, clock, quota, store, PictureProcesses(1), TaskSettings(workers=0), folder)
    quota.start()
    actor.start()
    try:
        await db.write(lambda connection: users.add(connection, User(_USER, "phone", 0)))
        await quota.ask(Adjust(Adjustment(new_id(), _USER, "initial balance", 0), TASKS))
        with setting_final_states() if mutant else nullcontext():
            return await _race(CompetingWorkers(db, clock, actor, random))
    finally:
        await actor.stop()
        await quota.stop()
        await db.close()


async def _race(workers: CompetingWorkers) -> SuiteReport:
    creations = [CreateTask(_USER, BASIC_CLEAN, "input/x.png", PictureTemplate.ALL) for _ in range(TASKS)]
    ids = [created.task_id for created in await asyncio.gather(*map(workers.tasks.ask, creations))]
    for _ in range(STEPS):
        await workers.claim()
        await workers.compete(ids)
        await workers.read(ids)
    await workers.run_all([workers.report(id, TaskStatus.FAILED) for id in ids])
    await workers.read(ids)
    unfinished = [f"task {id} never ended" for id in ids if id not in workers.ended]
    audit = await workers.db.read(audit_violations)
    violations = workers.violations + workers.find_contradictions() + unfinished + audit
    return SuiteReport(workers.actions, len(ids), violations)


@dataclass(slots=True)
class CompetingWorkers:
    """All workers that can end a task, and what was read of each task so far."""

    db: Database
    clock: ManualClock
    tasks: Tasks
    random: Random
    actions: int = 0
    leases: list[Task] = field(default_factory=list)  # every lease that was ever held
    ended: dict[str, Task] = field(default_factory=dict)
    accepted: dict[str, list[TaskStatus]] = field(default_factory=dict)  # final states whose report was accepted
    violations: list[str] = field(default_factory=list)

    def actions_on_a_task(self) -> Sequence[Callable[[str], Awaitable[None]]]:
        """Return the actions to choose from. Any new way to end a task belongs here."""
        return [
            lambda id: self.report(id, TaskStatus.SUCCESS),
            lambda id: self.report(id, TaskStatus.FAILED),
            lambda id: self.report(id, TaskStatus.PROCESSING),
        ]

    async def claim(self) -> None:
        """Claim some tasks for this process. Their leases may be used at any later time."""
        now, number = self.clock.now(), self.random.randint(1, TASKS // 2)
        self.leases += await self.db.write(lambda c: tasks.claim(c, BASIC_CLEAN, number, now, now + LEASE))

    async def compete(self, ids: Sequence[str]) -> None:
        """Run many actions at once and in random order; often leases have expired before."""
        if self.random.random() < 0.6:
            self.clock.advance(seconds=self.random.choice([1, LEASE, EXTERNAL_LEASE]) / 1000)
        choices = self.actions_on_a_task()
        by_id = [self.random.choice(choices)(id) for id in ids if self.random.random() < SHARE]
        by_lease = [self._report_as_holder(lease) for lease in self.leases if self.random.random() < SHARE]
        actions = [*by_id, *by_lease, self.tasks.ask(Sweep()), self.tasks.ask(Sweep())]
        self.random.shuffle(actions)
        self.actions += len(actions)
        await self.run_all(actions)

    async def run_all(self, actions: Sequence[Awaitable[None]]) -> None:
        """Run actions at once. An exception that they do not handle themselves is a violation."""
        outcomes = await asyncio.gather(*actions, return_exceptions=True)
        self.violations += [f"an action ended with {outcome!r}" for outcome in outcomes if outcome is not None]

    async def report(self, task_id: str, status: TaskStatus) -> None:
        with suppress(TaskFinished):
            await self.tasks.ask(ReportStatus(task_id, status, ["https://pictures.example/1.png"], "worker_failed"))
            if status in _FINAL:
                self.accepted.setdefault(task_id, []).append(status)

    async def _report_as_holder(self, lease: Task) -> None:
        """Use a lease. If it has expired or the task has ended, this must change nothing."""
        messages = [
            FinishTask(lease, ["output/1.png"]),
            FailTask(lease, "internal"),
            ReleaseTask(lease, interrupted=True),
        ]
        await self.tasks.ask(self.random.choice(messages))

    async def read(self, ids: Sequence[str]) -> None:
        """Read all tasks. A task that has ended must not change."""
        for task in await asyncio.gather(*(self.tasks.ask(GetTask(_USER, id)) for id in ids)):
            before = self.ended.get(task.id, task)
            if before != task:
                self.violations.append(f"task {task.id} had ended as {before.status} and is {task.status}: {task}")
            if task.status in _FINAL:
                self.ended[task.id] = task

    def find_contradictions(self) -> list[str]:
        """Return the tasks whose final state is not the only accepted one."""
        return [
            f"reports of {', '.join(states)} were accepted for task {id}, which is {self.ended[id].status}"
            for id, states in self.accepted.items()
            if id in self.ended and states != [self.ended[id].status]
        ]
