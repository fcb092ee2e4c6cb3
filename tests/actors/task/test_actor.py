"""The task actor over a real database, a real object store and picture workers that do what a test says."""

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
from actors.quota.actor import Adjust, GetBalance, Quota
from actors.task.actor import (
    INTERRUPTIONS,
    LEASE,
    OUTSIDE_LEASE,
    CreateTask,
    Fail,
    Finish,
    GetTask,
    Report,
    Sweep,
    Task,
    Tasks,
    TaskStatus,
)
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
class Pictures:
    """A PictureWorkers that answers with `outcomes` in their order, then goes on succeeding."""

    outcomes: list[Exception] = field(default_factory=list)
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def admit(self, source: Path, target: Path) -> None:
        raise NotImplementedError

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        self.taken.set()
        await self.gate.wait()
        if self.outcomes:
            raise self.outcomes.pop(0)
        made = folder / "matting.png"
        made.write_bytes(b"picture")
        return [made]


@dataclass(frozen=True, slots=True)
class House:
    db: Database
    clock: ManualClock
    quota: Quota
    tasks: Tasks
    pictures: Pictures
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
async def a_house(folder: Path, workers: int) -> AsyncIterator[House]:
    db, clock, pictures = await Database.open(folder / "data"), ManualClock(), Pictures()
    store = LocalObjects(folder / "pictures", "http://127.0.0.1", "secret", clock)
    store.prepare()
    (folder / "work").mkdir()
    (folder / "photo").write_bytes(b"photo")
    key = f"input/{new_id()}/{new_id()}/photo.jpg"
    await store.put(key, folder / "photo")
    await db.write(lambda connection: users.add(connection, User(USER, "phone", 0)))
    quota = Quota(db, clock)
    actor = Tasks(db, clock, quota, store, pictures, workers, {"basic_clean": 1}, folder / "work")
    quota.start()
    actor.start()
    await quota.ask(Adjust(Adjustment("start", USER, "to begin with", 0), 10))
    try:
        yield House(db, clock, quota, actor, pictures, key)
    finally:
        actor.drain()
        await actor.stop(grace=0)
        await quota.stop()
        await audit_and_close(db)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """One picture worker, whose work waits for its gate."""
    async with a_house(tmp_path, workers=1) as house:
        yield house


@pytest.fixture
async def idle_house(tmp_path: Path) -> AsyncIterator[House]:
    """No picture worker: the work is left to others."""
    async with a_house(tmp_path, workers=0) as house:
        yield house


async def test_work_is_done_and_kept(house: House) -> None:
    house.pictures.gate.set()
    task_id = await house.create()
    task = await house.finished(task_id)
    assert task.status is TaskStatus.SUCCESS
    assert task.results == [f"output/{USER}/{task_id}/matting.png"]


async def test_more_tasks_than_workers_wait_and_are_all_done(house: House) -> None:
    created = [await house.create() for _ in range(5)]
    await house.pictures.taken.wait()
    assert await house.waiting() == 4
    house.pictures.gate.set()
    assert {(await house.finished(task_id)).status for task_id in created} == {TaskStatus.SUCCESS}


async def test_a_refused_picture_fails_its_task_with_the_reason(house: House) -> None:
    house.pictures.outcomes.append(PictureRefused("scattered"))
    house.pictures.gate.set()
    task = await house.finished(await house.create())
    assert (task.status, task.error) == (TaskStatus.FAILED, "scattered")
    assert await house.remaining() == 10


async def test_what_nobody_foresaw_fails_the_task_too(house: House) -> None:
    house.pictures.outcomes.append(ZeroDivisionError())
    house.pictures.gate.set()
    assert (await house.finished(await house.create())).error == "internal"
    assert await house.remaining() == 10


async def test_work_that_the_end_cuts_short_costs_the_task_nothing(house: House) -> None:
    house.pictures.outcomes.append(Overloaded(retry_after=1))
    task_id = await house.create()
    await house.pictures.taken.wait()
    house.tasks.drain()
    house.pictures.gate.set()
    async with asyncio.timeout(30):
        while not await house.waiting():
            pass
    assert (await house.load(task_id)).interruptions == 0


@pytest.mark.parametrize("fault", [OSError("the disk is full"), Overloaded(retry_after=1)])
async def test_a_task_that_cannot_be_done_is_given_up_and_refunded(house: House, fault: Exception) -> None:
    """Also when it is the workers that cannot start: a charge is never kept for a task without an end."""
    house.pictures.outcomes.extend([fault] * (INTERRUPTIONS + 3))
    house.pictures.gate.set()
    task_id = await house.create()
    async with asyncio.timeout(30):
        while (await house.load(task_id)).status is not TaskStatus.FAILED:
            await house.tasks.ask(Sweep())
    assert (await house.load(task_id)).error == "interrupted"
    assert len(house.pictures.outcomes) == 3, f"it was tried {INTERRUPTIONS} times"
    assert await house.remaining() == 10


async def test_a_task_never_goes_back_to_pending_on_the_wire(house: House) -> None:
    house.pictures.outcomes.append(Overloaded(retry_after=1))
    house.pictures.gate.set()
    task_id = await house.create()
    async with asyncio.timeout(30):
        while not (await house.load(task_id)).attempt or not await house.waiting():
            pass
    assert (await house.load(task_id)).status is TaskStatus.PROCESSING


async def test_a_job_whose_lease_was_taken_over_changes_nothing(house: House) -> None:
    task_id = await house.create()
    await house.pictures.taken.wait()
    held = await house.load(task_id)
    await house.tasks.ask(Report(task_id, TaskStatus.PROCESSING, [], ""))
    await house.tasks.ask(Finish(held, ["late.png"]))
    await house.tasks.ask(Fail(held, "late"))
    assert (await house.load(task_id)).status is TaskStatus.PROCESSING
    await house.tasks.ask(Report(task_id, TaskStatus.SUCCESS, ["https://elsewhere.test/a.png"], ""))
    house.pictures.gate.set()
    assert (await house.finished(task_id)).results == ["https://elsewhere.test/a.png"]


async def test_a_holder_here_that_vanished_is_replaced(house: House) -> None:
    task_id = await house.create()
    await house.pictures.taken.wait()
    house.clock.advance(seconds=LEASE / 1000 + 1)
    await house.tasks.ask(Sweep())
    assert await house.waiting() == 1
    task = await house.load(task_id)
    assert (task.status, task.interruptions) == (TaskStatus.PROCESSING, 1)


async def test_after_a_restart_the_work_of_the_dead_process_is_taken_up_at_once(idle_house: House) -> None:
    task_id = await idle_house.create()
    now = idle_house.clock.now()
    await idle_house.db.write(lambda c: tasks.claim(c, "basic_clean", 1, now, now + LEASE))
    await idle_house.tasks.ask(Sweep())
    assert await idle_house.waiting() == 0, "its lease has not run out"
    await idle_house.tasks.recover()
    await idle_house.tasks.ask(Sweep())
    assert await idle_house.waiting() == 1 and (await idle_house.load(task_id)).interruptions == 1


async def test_a_worker_elsewhere_that_reports_keeps_its_task_for_as_long_as_it_takes(idle_house: House) -> None:
    task_id = await idle_house.create()
    for _ in range(3 * INTERRUPTIONS):
        await idle_house.tasks.ask(Report(task_id, TaskStatus.PROCESSING, [], ""))
        idle_house.clock.advance(seconds=OUTSIDE_LEASE / 1000 - 1)
        await idle_house.tasks.recover()
        await idle_house.tasks.ask(Sweep())
    await idle_house.tasks.ask(Report(task_id, TaskStatus.SUCCESS, ["https://elsewhere.test/a.png"], ""))
    assert (await idle_house.load(task_id)).status is TaskStatus.SUCCESS


async def test_a_worker_elsewhere_that_falls_silent_loses_the_task_and_the_charge_comes_back(idle_house: House) -> None:
    task_id = await idle_house.create()
    await idle_house.tasks.ask(Report(task_id, TaskStatus.PROCESSING, [], ""))
    idle_house.clock.advance(seconds=OUTSIDE_LEASE / 1000)
    await idle_house.tasks.ask(Sweep())
    assert (await idle_house.load(task_id)).error == "abandoned"
    assert await idle_house.remaining() == 10
    with pytest.raises(TaskFinished):
        await idle_house.tasks.ask(Report(task_id, TaskStatus.SUCCESS, ["https://elsewhere.test/a.png"], ""))
