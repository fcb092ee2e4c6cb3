"""Success, failure, a lapsed lease and stale reports in random orders: one final state, and one refund if it failed."""

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
from actors.task.actor import BASIC_CLEAN, LEASE, OUTSIDE_LEASE, Tasks
from actors.task.messages import CreateTask, FailTask, FinishTask, GetTask, ReleaseTask, Sweep, Task, TaskStatus
from actors.task.messages import ReportStatus as Reported
from server.gateways.objects.local import LocalObjects
from server.gateways.pictures.pool import PictureProcesses
from storage.auth import users
from storage.auth.users import User
from storage.engine.database import Database
from storage.quota.adjustments import Adjustment
from storage.task import tasks
from tests.support.invariants import audit_violations
from tests.support.server import ManualClock
from tests.torture.mutants import setting_final_states
from tests.torture.suite import Report

NAME = "settled once, in random orders"
CONTROL = "a final state is set, not won"

ORDERS = 100  # tasks a round, each with an order of its own
STEPS = 6
SHARE = 0.3  # of the tasks and leases that something happens to in a step
_FINAL = (TaskStatus.SUCCESS, TaskStatus.FAILED)
_USER = new_id()


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    report = Report()
    for seed in seeds:
        with setting_final_states() if broken else nullcontext():
            found = asyncio.run(_round(folder / str(seed), Random(seed)))
        found.violations = [f"seed {seed}: {violation}" for violation in found.violations]
        report.add(found)
    return report


async def _round(folder: Path, random: Random) -> Report:
    db, clock = await Database.open(folder / "data"), ManualClock()
    store = LocalObjects(folder / "pictures", "http://127.0.0.1", "secret", clock)
    quota = Quota(db, clock)
    actor = Tasks(db, clock, quota, store, PictureProcesses(1), 0, {BASIC_CLEAN: 1}, folder)
    for started in (quota, actor):
        started.start()
    contest = Contest(db, clock, actor, random)
    try:
        await db.write(lambda connection: users.add(connection, User(_USER, "phone", 0)))
        await quota.ask(Adjust(Adjustment(new_id(), _USER, "to begin with", 0), ORDERS))
        return await _contested(contest)
    finally:
        await actor.stop()
        await quota.stop()
        await db.close()


async def _contested(contest: Contest) -> Report:
    made = [CreateTask(_USER, BASIC_CLEAN, "input/x.png", PictureTemplate.ALL) for _ in range(ORDERS)]
    ids = [created.task_id for created in await asyncio.gather(*map(contest.tasks.ask, made))]
    for _ in range(STEPS):
        await contest.claim()
        await contest.compete(ids)
        await contest.observe(ids)
    await contest.all([contest.report(id, TaskStatus.FAILED) for id in ids])
    await contest.observe(ids)
    unfinished = [f"task {id} never ended" for id in ids if id not in contest.ended]
    sums = await contest.db.read(audit_violations)
    return Report(contest.acts, len(ids), contest.violations + contest.contradictions() + unfinished + sums)


@dataclass(slots=True)
class Contest:
    """Everybody who may end a task, and what was seen of each task so far."""

    db: Database
    clock: ManualClock
    tasks: Tasks
    random: Random
    acts: int = 0
    leases: list[Task] = field(default_factory=list)  # that were ever held here
    ended: dict[str, Task] = field(default_factory=dict)
    accepted: dict[str, list[TaskStatus]] = field(default_factory=dict)  # final states that a reporter was told it won
    violations: list[str] = field(default_factory=list)

    def contenders(self) -> Sequence[Callable[[str], Awaitable[None]]]:
        """Whoever else may end a task joins here."""
        return [
            lambda id: self.report(id, TaskStatus.SUCCESS),
            lambda id: self.report(id, TaskStatus.FAILED),
            lambda id: self.report(id, TaskStatus.PROCESSING),
        ]

    async def claim(self) -> None:
        """Some tasks are taken by a worker of this process, which may come back to them at any later time."""
        now, some = self.clock.now(), self.random.randint(1, ORDERS // 2)
        self.leases += await self.db.write(lambda c: tasks.claim(c, BASIC_CLEAN, some, now, now + LEASE))

    async def compete(self, ids: Sequence[str]) -> None:
        """Many things happen to the tasks at once and in a random order; sometimes leases have run out before."""
        if self.random.random() < 0.6:
            self.clock.advance(seconds=self.random.choice([1, LEASE, OUTSIDE_LEASE]) / 1000)
        named = [self.random.choice(self.contenders())(id) for id in ids if self.random.random() < SHARE]
        held = [self._holder_says(lease) for lease in self.leases if self.random.random() < SHARE]
        acts = [*named, *held, self.tasks.ask(Sweep()), self.tasks.ask(Sweep())]
        self.random.shuffle(acts)
        self.acts += len(acts)
        await self.all(acts)

    async def all(self, acts: Sequence[Awaitable[None]]) -> None:
        """Only a refusal that means something may come of it, and that was dealt with."""
        outcomes = await asyncio.gather(*acts, return_exceptions=True)
        self.violations += [f"somebody was answered {outcome!r}" for outcome in outcomes if outcome is not None]

    async def report(self, task_id: str, status: TaskStatus) -> None:
        with suppress(TaskFinished):
            await self.tasks.ask(Reported(task_id, status, ["https://pictures.example/1.png"], "the worker said so"))
            if status in _FINAL:
                self.accepted.setdefault(task_id, []).append(status)

    async def _holder_says(self, lease: Task) -> None:
        """The lease may be over, and others may have ended the task: then this changes nothing."""
        says = [FinishTask(lease, ["output/1.png"]), FailTask(lease, "internal"), ReleaseTask(lease, interrupted=True)]
        await self.tasks.ask(self.random.choice(says))

    async def observe(self, ids: Sequence[str]) -> None:
        for task in await asyncio.gather(*(self.tasks.ask(GetTask(_USER, id)) for id in ids)):
            before = self.ended.get(task.id, task)
            if before != task:
                self.violations.append(f"task {task.id} had ended as {before.status} and is {task.status}: {task}")
            if task.status in _FINAL:
                self.ended[task.id] = task

    def contradictions(self) -> list[str]:
        return [
            f"reporters of {id} were told that {', '.join(told)} was accepted, and it is {self.ended[id].status}"
            for id, told in self.accepted.items()
            if id in self.ended and told != [self.ended[id].status]
        ]
