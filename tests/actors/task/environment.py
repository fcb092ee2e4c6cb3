"""The task actor over a real database and a real object store, with types whose work a test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from actors.ids import new_id
from actors.ports import PictureTemplate
from actors.quota.actor import Quota
from actors.quota.commands import Adjust
from actors.quota.messages import GetBalance
from actors.task.actor import Tasks
from actors.task.attempt import Attempt
from actors.task.messages import CreateTask, GetTask, Sweep, Task, TaskStatus
from actors.task.settings import TaskSettings
from actors.task.task_type import TaskParams, TaskType, TaskTypes, TypeLimits
from server.gateways.objects.local import LocalObjects
from storage.auth import users
from storage.auth.users import User
from storage.engine.database import Database
from storage.quota.adjustments import Adjustment
from storage.task import transitions
from tests.support.invariants import audit_and_close
from tests.support.server import ManualClock

USER, OTHER = new_id(), new_id()
FINAL = (TaskStatus.SUCCESS, TaskStatus.FAILED)


@dataclass(slots=True)
class Work:
    """The work of a test's types: it raises the `outcomes` in their order, and then succeeds, once the gate is open.

    It does one of its two stages before the gate and returns one result.
    """

    outcomes: list[Exception] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)  # set when an attempt is cancelled
    picture: str = "matting.png"  # the name of the result
    order: list[str] = field(default_factory=list)  # the ids of the tasks, as they were begun

    async def run(self, attempt: Attempt) -> Sequence[str]:
        self.order.append(attempt.task.id)
        await attempt.fetch_input()
        await attempt.stage_done()
        self.started.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        if self.outcomes:
            raise self.outcomes.pop(0)
        picture = attempt.folder / self.picture
        picture.write_bytes(b"picture")
        return await attempt.store([picture])


class NoPictures:
    """Picture workers that no type of these tests uses."""

    async def admit(self, source: Path, target: Path) -> None:
        raise NotImplementedError

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        raise NotImplementedError


class ThreePerMinute(TypeLimits):
    per_minute: int = 3


class NoTime(TypeLimits):
    seconds: int = 0


def task_types(work: Callable[[Attempt], Any]) -> TaskTypes:
    stages = ("begin", "end")
    return TaskTypes(
        TaskType("plain", TaskParams, stages, work),
        TaskType("stoppable", TaskParams, stages, work, can_be_stopped=True),
        TaskType("limited", TaskParams, stages, work, limits=ThreePerMinute),
        TaskType("no_time", TaskParams, stages, work, limits=NoTime),
        TaskType("outside", TaskParams, stages),
    )


@dataclass(frozen=True, slots=True)
class Environment:
    db: Database
    clock: ManualClock
    quota: Quota
    tasks: Tasks
    work: Work
    store: LocalObjects
    folder: Path

    async def upload(self, user_id: str = USER) -> str:
        """Store an input and return its object key."""
        (self.folder / "photo").write_bytes(b"photo")
        key = f"input/{user_id}/{new_id()}/{new_id()}.jpg"
        await self.store.put(key, self.folder / "photo")
        return key

    async def create(self, type: str = "plain", user_id: str = USER, key: str | None = None) -> str:
        url = self.store.sign_download(await self.upload(user_id))
        return (await self.tasks.ask(CreateTask(user_id, type, url, {}, key))).task_id

    async def load(self, task_id: str, user_id: str = USER) -> Task:
        return await self.tasks.ask(GetTask(user_id, task_id))

    async def wait_for(self, condition: Callable[[Task], bool], task_id: str, user_id: str = USER) -> Task:
        """Return the task once the condition holds."""
        async with asyncio.timeout(30):
            while True:
                task = await self.load(task_id, user_id)
                if condition(task):
                    return task

    async def finished(self, task_id: str, user_id: str = USER) -> Task:
        return await self.wait_for(lambda task: task.status in FINAL, task_id, user_id)

    async def put_back(self, task_id: str, attempt: int) -> Task:
        """Return the task once it has been put back after an attempt."""
        return await self.wait_for(lambda task: task.attempt == attempt and task.holder is None, task_id)

    async def pass_time(self, **duration: float) -> None:
        """Move the clock and sweep."""
        self.clock.advance(**duration)
        await self.tasks.ask(Sweep())

    async def history(self, task_id: str) -> list[str]:
        rows = await self.db.read(lambda connection: transitions.history(connection, task_id))
        return [row.kind.value for row in rows]

    async def waiting(self) -> int:
        count = "SELECT COUNT(*) FROM tasks WHERE waiting = 1"
        return int(await self.db.read(lambda connection: connection.execute(count).fetchone()[0]))

    async def remaining(self, user_id: str = USER) -> int:
        return (await self.quota.ask(GetBalance(user_id))).remaining


@asynccontextmanager
async def environment(
    folder: Path, workers: int, clock: ManualClock | None = None, **settings: int
) -> AsyncIterator[Environment]:
    """Run the actor with USER and OTHER, who have ten generations each."""
    db, clock, work = await Database.open(folder / "data"), clock or ManualClock(), Work()
    store = LocalObjects(folder / "pictures", "http://127.0.0.1", "secret", clock)
    store.prepare()
    (folder / "work").mkdir(exist_ok=True)
    quota = Quota(db, clock)
    task_settings = TaskSettings(workers=workers, **settings)
    actor = Tasks(db, clock, quota, store, NoPictures(), task_settings, folder / "work", task_types(work.run))
    for user_id in (USER, OTHER):
        await db.write(partial(users.add, user=User(user_id, f"phone of {user_id}", 0)))
    await actor.recover()
    quota.start()
    actor.start()
    for user_id in (USER, OTHER):
        await quota.ask(Adjust(Adjustment(f"start of {user_id}", user_id, "initial balance", 0), 10))
    try:
        yield Environment(db, clock, quota, actor, work, store, folder)
    finally:
        actor.drain()
        await actor.stop(grace=0)
        await quota.stop()
        await audit_and_close(db)
