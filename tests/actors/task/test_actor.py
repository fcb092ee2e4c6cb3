"""The task actor over a real database, a real object store, and picture workers whose results a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.errors import Overloaded, TaskFinished
from actors.ids import new_id
from actors.ports import PictureRefused, PictureTemplate
from actors.quota.actor import Quota
from actors.quota.commands import Adjust
from actors.quota.messages import GetBalance
from actors.task.actor import EXTERNAL_LEASE, INTERRUPTIONS, LEASE, Tasks
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
from storage.auth import users
from storage.auth.users import User
from storage.engine.database import Database
from storage.quota.adjustments import Adjustment
from storage.task import tasks
from tests.support.invariants import audit_and_close
from tests.support.server import ManualClock

USER = new_id()


@dataclass(slots=True)
class ControlledWorkers:
    """Picture workers that raise the `outcomes` in their order, and then always succeed, once the gate is open."""

    outcomes: list[Exception] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def admit(self, source: Path, target: Path) -> None:
        raise NotImplementedError

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        self.started.set()
        await self.gate.wait()
        if self.outcomes:
            raise self.outcomes.pop(0)
        picture = folder / "matting.png"
        picture.write_bytes(b"picture")
        return [picture]


@dataclass(frozen=True, slots=True)
class Environment:
    db: Database
    clock: ManualClock
    quota: Quota
    tasks: Tasks
    pictures: ControlledWorkers
    input_key: str

    async def create(self) -> str:
        return (await self.tasks.ask(CreateTask(USER, "basic_clean", self.input_key, PictureTemplate.ALL))).task_id

    async def load(self, task_id: str) -> Task:
        return await self.tasks.ask(GetTask(USER, task_id))

    async def finished(self, task_id: str) -> Task:
        async with asyncio.timeout(30):
            while True:
                task = await self.load(task_id)
                if task.status in (TaskStatus.SUCCESS, TaskStatus.FAILED):
                    return task

    async def waiting(self) -> int:
        count = "SELECT COUNT(*) FROM tasks WHERE waiting = 1"
        return int(await self.db.read(lambda connection: connection.execute(count).fetchone()[0]))

    async def remaining(self) -> int:
        return (await self.quota.ask(GetBalance(USER))).remaining


@asynccontextmanager
async def environment(folder: Path, workers: int) -> AsyncIterator[Environment]:
    db, clock, pictures = await Database.open(folder / "data"), ManualClock(), ControlledWorkers()
    store = LocalObjects(folder / "pictures", "http://127.0.0.1", "secret", clock)
    store.prepare()
    (folder / "work").mkdir()
    (folder / "photo").write_bytes(b"photo")
    key = f"input/{new_id()}/{new_id()}/photo.jpg"
    await store.put(key, folder / "photo")
    await db.write(lambda connection: users.add(connection, User(USER, "phone", 0)))
    quota = Quota(db, clock)
    actor = Tasks(db, clock, quota, store, pictures, TaskSettings(workers=workers), folder / "work")
    quota.start()
    actor.start()
    await quota.ask(Adjust(Adjustment("start", USER, "initial balance", 0), 10))
    try:
        yield Environment(db, clock, quota, actor, pictures, key)
    finally:
        actor.drain()
        await actor.stop(grace=0)
        await quota.stop()
        await audit_and_close(db)


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[Environment]:
    """One picture worker, which waits for the gate."""
    async with environment(tmp_path, workers=1) as env:
        yield env


@pytest.fixture
async def env_without_workers(tmp_path: Path) -> AsyncIterator[Environment]:
    """No picture worker in this process."""
    async with environment(tmp_path, workers=0) as env:
        yield env


async def test_the_pictures_of_a_task_are_made_and_stored(env: Environment) -> None:
    env.pictures.gate.set()
    task_id = await env.create()
    task = await env.finished(task_id)
    assert task.status is TaskStatus.SUCCESS
    assert task.results == [f"output/{USER}/{task_id}/matting.png"]


async def test_tasks_wait_for_a_free_worker_and_all_are_done(env: Environment) -> None:
    created = [await env.create() for _ in range(5)]
    await env.pictures.started.wait()
    assert await env.waiting() == 4
    env.pictures.gate.set()
    assert {(await env.finished(task_id)).status for task_id in created} == {TaskStatus.SUCCESS}


async def test_a_refused_picture_fails_its_task_with_the_reason(env: Environment) -> None:
    env.pictures.outcomes.append(PictureRefused("scattered"))
    env.pictures.gate.set()
    task = await env.finished(await env.create())
    assert (task.status, task.error) == (TaskStatus.FAILED, "scattered")
    assert await env.remaining() == 10


async def test_an_unexpected_exception_fails_the_task(env: Environment) -> None:
    env.pictures.outcomes.append(ZeroDivisionError())
    env.pictures.gate.set()
    assert (await env.finished(await env.create())).error == "internal"
    assert await env.remaining() == 10


async def test_an_attempt_stopped_by_a_shutdown_is_no_interruption(env: Environment) -> None:
    env.pictures.outcomes.append(Overloaded(retry_after=1))
    task_id = await env.create()
    await env.pictures.started.wait()
    env.tasks.drain()
    env.pictures.gate.set()
    async with asyncio.timeout(30):
        while not await env.waiting():
            pass
    assert (await env.load(task_id)).interruptions == 0


@pytest.mark.parametrize("fault", [OSError("the disk is full"), Overloaded(retry_after=1)])
async def test_a_task_that_is_interrupted_too_often_fails_and_is_refunded(env: Environment, fault: Exception) -> None:
    # Overloaded stands for workers that cannot start: even then a charged task must end.
    env.pictures.outcomes.extend([fault] * (INTERRUPTIONS + 3))
    env.pictures.gate.set()
    task_id = await env.create()
    async with asyncio.timeout(30):
        while (await env.load(task_id)).status is not TaskStatus.FAILED:
            await env.tasks.ask(Sweep())
    assert (await env.load(task_id)).error == "interrupted"
    assert len(env.pictures.outcomes) == 3, f"there were {INTERRUPTIONS} attempts"
    assert await env.remaining() == 10


async def test_a_released_task_is_still_reported_as_processing(env: Environment) -> None:
    env.pictures.outcomes.append(Overloaded(retry_after=1))
    env.pictures.gate.set()
    task_id = await env.create()
    async with asyncio.timeout(30):
        while not (await env.load(task_id)).attempt or not await env.waiting():
            pass
    assert (await env.load(task_id)).status is TaskStatus.PROCESSING


async def test_a_job_whose_lease_was_taken_over_changes_nothing(env: Environment) -> None:
    task_id = await env.create()
    await env.pictures.started.wait()
    leased = await env.load(task_id)
    await env.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING, [], ""))
    await env.tasks.ask(FinishTask(leased, ["late.png"]))
    await env.tasks.ask(FailTask(leased, "late"))
    assert (await env.load(task_id)).status is TaskStatus.PROCESSING
    await env.tasks.ask(ReportStatus(task_id, TaskStatus.SUCCESS, ["https://outside.test/a.png"], ""))
    env.pictures.gate.set()
    assert (await env.finished(task_id)).results == ["https://outside.test/a.png"]


async def test_a_task_is_released_when_its_lease_in_this_process_expires(env: Environment) -> None:
    task_id = await env.create()
    await env.pictures.started.wait()
    env.clock.advance(seconds=LEASE / 1000 + 1)
    await env.tasks.ask(Sweep())
    assert await env.waiting() == 1
    task = await env.load(task_id)
    assert (task.status, task.interruptions) == (TaskStatus.PROCESSING, 1)


async def test_after_a_restart_the_leases_of_the_former_process_end_immediately(
    env_without_workers: Environment,
) -> None:
    task_id = await env_without_workers.create()
    now = env_without_workers.clock.now()
    await env_without_workers.db.write(lambda c: tasks.claim(c, "basic_clean", 1, now, now + LEASE))
    await env_without_workers.tasks.ask(Sweep())
    assert await env_without_workers.waiting() == 0, "its lease has not expired"
    await env_without_workers.tasks.recover()
    await env_without_workers.tasks.ask(Sweep())
    assert await env_without_workers.waiting() == 1 and (await env_without_workers.load(task_id)).interruptions == 1


async def test_an_outside_worker_keeps_its_task_as_long_as_it_reports(env_without_workers: Environment) -> None:
    task_id = await env_without_workers.create()
    for _ in range(3 * INTERRUPTIONS):
        await env_without_workers.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING, [], ""))
        env_without_workers.clock.advance(seconds=EXTERNAL_LEASE / 1000 - 1)
        await env_without_workers.tasks.recover()
        await env_without_workers.tasks.ask(Sweep())
    await env_without_workers.tasks.ask(ReportStatus(task_id, TaskStatus.SUCCESS, ["https://outside.test/a.png"], ""))
    assert (await env_without_workers.load(task_id)).status is TaskStatus.SUCCESS


async def test_a_task_is_refunded_when_its_outside_worker_stops_reporting(env_without_workers: Environment) -> None:
    task_id = await env_without_workers.create()
    await env_without_workers.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING, [], ""))
    env_without_workers.clock.advance(seconds=EXTERNAL_LEASE / 1000)
    await env_without_workers.tasks.ask(Sweep())
    assert (await env_without_workers.load(task_id)).error == "abandoned"
    assert await env_without_workers.remaining() == 10
    with pytest.raises(TaskFinished):
        await env_without_workers.tasks.ask(
            ReportStatus(task_id, TaskStatus.SUCCESS, ["https://outside.test/a.png"], "")
        )


async def test_only_the_current_holder_of_a_task_can_release_it(env_without_workers: Environment) -> None:
    """A former holder cannot, whether this process claimed the task again or an external worker took it over."""
    env = env_without_workers

    async def claim() -> Task:
        now = env.clock.now()
        (task,) = await env.db.write(lambda c: tasks.claim(c, "basic_clean", 1, now, now + LEASE))
        return task

    async def assert_still_held(holder: Task) -> None:
        assert await env.waiting() == 0
        task = await env.load(holder.id)
        assert (task.holder, task.attempt, task.interruptions) == (holder.holder, holder.attempt, holder.interruptions)

    await env.create()
    first = await claim()
    env.clock.advance(seconds=LEASE / 1000)
    await env.tasks.ask(Sweep())
    second = await claim()
    await env.tasks.ask(ReleaseTask(first, interrupted=True))
    await assert_still_held(second)
    await env.tasks.ask(ReportStatus(second.id, TaskStatus.PROCESSING, [], ""))
    outside = await env.load(second.id)
    for former in (first, second):
        await env.tasks.ask(ReleaseTask(former, interrupted=False))
        await assert_still_held(outside)
    await env.tasks.ask(ReportStatus(second.id, TaskStatus.SUCCESS, ["https://outside.test/a.png"], ""))
    assert (await env.load(second.id)).status is TaskStatus.SUCCESS
