"""Reports, cancellations, time limits, sweeps and outdated leases in random orders.

Every task ends, in one final state that never changes, and with one refund if it has failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from actors.durations import DAY, HOUR
from actors.errors import LeaseLost, TaskFinished, TaskHeld, TooManyCancellations
from actors.ids import new_id
from actors.quota.actor import Quota
from actors.quota.commands import Adjust
from actors.task.actor import Tasks
from actors.task.attempts import LEASE
from actors.task.external_workers import EXTERNAL_LEASE
from actors.task.messages import (
    CancelTask,
    CreateTask,
    FailTask,
    FinishTask,
    GetTask,
    InterruptTask,
    PostponeTask,
    ReleaseTask,
    ReportProgress,
    ReportStatus,
    Sweep,
    Task,
    TaskStatus,
)
from actors.task.settings import TaskSettings
from actors.task.task_type import TaskParams, TaskType, TaskTypes
from server.gateways.objects.local import LocalObjects
from server.gateways.pictures.pool import PictureProcesses
from storage.auth import users
from storage.auth.users import User
from storage.engine.database import Database
from storage.quota.adjustments import Adjustment
from storage.task import queue
from tests.support.invariants import audit_violations
from tests.support.server import ManualClock
from tests.torture.mutants.tasks import setting_final_states
from tests.torture.suite import SuiteReport, run_rounds

NAME = "settled once, in random orders"
CONTROL = "a final state is set, not won"

TASKS = 100  # in a round
STEPS = 6
SHARE = 0.3  # of the tasks and leases that are used in a step
ROUNDS_TO_END = 40  # more than a task needs to use up its attempts when only time passes
_FINAL = (TaskStatus.SUCCESS, TaskStatus.FAILED)
_USER = new_id()
_TYPES = TaskTypes(
    TaskType("one_way", TaskParams, stages=("work",)),
    TaskType("stoppable", TaskParams, stages=("work",), can_be_stopped=True),
)


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    return run_rounds(folder, seeds, _round, mutant=mutant)


async def _round(folder: Path, random: Random, mutant: bool) -> SuiteReport:
    db, clock = await Database.open(folder / "data"), ManualClock()
    store = LocalObjects(folder / "pictures", "http://127.0.0.1", "secret", clock)
    store.prepare()
    (folder / "photo").write_bytes(b"photo")
    key = f"input/{_USER}/{new_id()}/photo.png"
    await store.put(key, folder / "photo")
    quota = Quota(db, clock)
    actor = Tasks(db, clock, quota, store, PictureProcesses(1), TaskSettings(workers=0), folder, _TYPES)
    quota.start()
    actor.start()
    try:
        await db.write(lambda connection: users.add(connection, User(_USER, "phone", 0)))
        await quota.ask(Adjust(Adjustment(new_id(), _USER, "initial balance", 0), TASKS))
        with setting_final_states() if mutant else nullcontext():
            return await _race(CompetingWorkers(db, clock, actor, random), store.sign_download(key))
    finally:
        await actor.stop()
        await quota.stop()
        await db.close()


async def _race(workers: CompetingWorkers, url: str) -> SuiteReport:
    creations = [CreateTask(_USER, workers.random.choice(list(_TYPES)), url, {}) for _ in range(TASKS)]
    ids = [created.task_id for created in await asyncio.gather(*map(workers.tasks.ask, creations))]
    for _ in range(STEPS):
        await workers.claim()
        await workers.compete(ids)
        await workers.read(ids)
    await workers.let_time_pass(ids)
    unfinished = [f"task {id} never ended" for id in ids if id not in workers.ended]
    audit = await workers.db.read(audit_violations)
    violations = workers.violations + workers.find_contradictions() + unfinished + audit
    return SuiteReport(workers.actions, len(ids), violations)


@dataclass(slots=True)
class CompetingWorkers:
    """All who can end a task, and what was read of each task so far."""

    db: Database
    clock: ManualClock
    tasks: Tasks
    random: Random
    actions: int = 0
    leases: list[Task] = field(default_factory=list)  # every lease that was ever held in this process
    attempts: list[tuple[str, int]] = field(default_factory=list)  # every lease that an external worker was given
    ended: dict[str, Task] = field(default_factory=dict)
    progress: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, list[TaskStatus]] = field(default_factory=dict)  # final states whose report was accepted
    violations: list[str] = field(default_factory=list)

    def actions_on_a_task(self) -> Sequence[Callable[[str], Awaitable[None]]]:
        """Return the actions to choose from. Any new way to end a task belongs here."""
        return [
            lambda id: self.report(id, TaskStatus.SUCCESS),
            lambda id: self.report(id, TaskStatus.FAILED),
            lambda id: self.report(id, TaskStatus.PROCESSING),
            self.cancel,
        ]

    async def claim(self) -> None:
        """Claim some tasks for this process. Their leases may be used at any later time."""
        now, number = self.clock.now(), self.random.randint(1, TASKS // 4)
        for name in _TYPES:
            self.leases += await self.db.write(lambda c, name=name: queue.claim(c, name, number, now, now + LEASE))  # type: ignore[misc]

    async def compete(self, ids: Sequence[str]) -> None:
        """Run many actions at once and in random order; often leases have expired before."""
        if self.random.random() < 0.6:
            self.clock.advance(seconds=self.random.choice([1, LEASE, EXTERNAL_LEASE]) / 1000)
        choices = self.actions_on_a_task()
        by_id = [self.random.choice(choices)(id) for id in ids if self.random.random() < SHARE]
        by_lease = [self._report_as_holder(lease) for lease in self.leases if self.random.random() < SHARE]
        by_attempt = [self._report_attempt(*lease) for lease in self.attempts if self.random.random() < SHARE]
        actions = [*by_id, *by_lease, *by_attempt, self.tasks.ask(Sweep()), self.tasks.ask(Sweep())]
        self.random.shuffle(actions)
        self.actions += len(actions)
        await self.run_all(actions)

    async def let_time_pass(self, ids: Sequence[str]) -> None:
        """Claim and sweep without any worker that reports, until every task has ended."""
        for _ in range(ROUNDS_TO_END):
            self.clock.advance(seconds=self.random.choice([LEASE, EXTERNAL_LEASE, 6 * HOUR, DAY]) / 1000)
            await self.claim()
            await self.tasks.ask(Sweep())
        await self.read(ids)

    async def run_all(self, actions: Sequence[Awaitable[None]]) -> None:
        """Run actions at once. An exception that they do not handle themselves is a violation."""
        outcomes = await asyncio.gather(*actions, return_exceptions=True)
        self.violations += [f"an action ended with {outcome!r}" for outcome in outcomes if outcome is not None]

    async def report(self, task_id: str, status: TaskStatus, attempt: int | None = None) -> None:
        results, progress = ["https://pictures.example/1.png"], self.random.randint(0, 100)
        message = ReportStatus(task_id, status, results, "worker_failed", progress, attempt)
        with suppress(TaskFinished, LeaseLost):
            given = await self.tasks.ask(message)
            if status in _FINAL:
                self.accepted.setdefault(task_id, []).append(status)
            else:
                self.attempts.append((task_id, given))

    async def cancel(self, task_id: str) -> None:
        with suppress(TaskFinished, TaskHeld, TooManyCancellations):
            await self.tasks.ask(CancelTask(_USER, task_id))
            self.accepted.setdefault(task_id, []).append(TaskStatus.FAILED)

    async def _report_attempt(self, task_id: str, attempt: int) -> None:
        """Report as an external worker that carries its fencing token, which may be outdated."""
        await self.report(task_id, self.random.choice([TaskStatus.PROCESSING, *_FINAL]), attempt)

    async def _report_as_holder(self, lease: Task) -> None:
        """Use a lease. If it has expired or the task has ended, this must change nothing."""
        messages = [
            FinishTask(lease, ["output/1.png"]),
            FailTask(lease, "internal"),
            ReleaseTask(lease),
            InterruptTask(lease, "the disk is full"),
            PostponeTask(lease, 60, "busy"),
            ReportProgress(lease, self.random.randint(0, 99)),
        ]
        await self.tasks.ask(self.random.choice(messages))

    async def read(self, ids: Sequence[str]) -> None:
        """Read all tasks. A task that has ended must not change, and progress must not decrease."""
        for task in await asyncio.gather(*(self.tasks.ask(GetTask(_USER, id)) for id in ids)):
            before = self.ended.get(task.id, task)
            if before != task:
                self.violations.append(f"task {task.id} had ended as {before.status} and is {task.status}: {task}")
            if task.progress < self.progress.get(task.id, 0):
                self.violations.append(f"the progress of task {task.id} fell to {task.progress}")
            self.progress[task.id] = task.progress
            if task.status in _FINAL:
                self.ended[task.id] = task

    def find_contradictions(self) -> list[str]:
        """Return the tasks whose final state is not the only accepted one."""
        return [
            f"reports of {', '.join(states)} were accepted for task {id}, which is {self.ended[id].status}"
            for id, states in self.accepted.items()
            if id in self.ended and states != [self.ended[id].status]
        ]
