"""The sweep: tasks that nobody begins end, and one that cannot be swept does not keep the others from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from actors.quota.commands import Refund
from actors.quota.messages import GetBalance
from actors.task import sweeper
from actors.task.attempt import Busy
from actors.task.attempts import LEASE
from actors.task.external_workers import EXTERNAL_LEASE
from actors.task.messages import InterruptTask, PostponeTask, ReportStatus, Sweep, Task, TaskStatus
from storage.task import queue
from tests.actors.task.environment import USER, Environment, environment
from tests.support.server import ManualClock

DAY = 86_400


async def test_a_task_that_nobody_begins_fails_after_a_day_and_is_refunded(env_without_workers: Environment) -> None:
    env = env_without_workers
    task_id = await env.create()
    await env.pass_time(seconds=DAY - 1)
    assert (await env.load(task_id)).status is TaskStatus.PENDING
    await env.pass_time(seconds=1)
    task = await env.load(task_id)
    assert (task.status, task.error, await env.remaining()) == (TaskStatus.FAILED, "not_started", 10)


async def test_a_task_that_is_always_put_back_because_the_vendor_is_busy_counts_as_waiting(env: Environment) -> None:
    env.work.outcomes.extend([Busy(3600)] * 100)
    env.work.gate.set()
    task_id = await env.create()
    for attempt in range(1, 24):
        await env.put_back(task_id, attempt)
        await env.pass_time(seconds=3600)
    await env.put_back(task_id, 24)
    await env.pass_time(seconds=3600)
    assert (await env.load(task_id)).error == "not_started"


async def test_a_task_that_was_begun_and_interrupted_waits_anew(env: Environment) -> None:
    env.work.outcomes.append(OSError("the disk is full"))
    task_id = await env.create()
    await env.work.started.wait()
    env.clock.advance(seconds=DAY - 1)
    env.work.gate.set()
    await env.put_back(task_id, 1)
    await env.pass_time(seconds=3600)
    assert (await env.finished(task_id)).status is TaskStatus.SUCCESS


async def test_a_task_that_is_being_carried_out_is_not_failed_for_its_age(env: Environment) -> None:
    task_id = await env.create()
    await env.work.started.wait()
    await env.pass_time(seconds=2 * DAY)
    env.work.gate.set()
    assert (await env.finished(task_id)).status is TaskStatus.SUCCESS


async def test_a_task_that_is_claimed_just_before_it_would_be_failed_for_waiting_goes_on(env: Environment) -> None:
    env.tasks.drain()
    task_id = await env.create()
    waiting = await env.load(task_id)
    now = env.clock.now()
    await env.db.write(lambda c: queue.claim(c, "plain", 1, now, now + LEASE))
    await env.tasks._sweeper._fail_unstarted(waiting)
    assert (await env.load(task_id)).status is TaskStatus.PROCESSING


@pytest.mark.parametrize("end", ["abandoned", "not_started"])
async def test_a_task_that_cannot_be_swept_does_not_keep_the_others_from_it(
    env_without_workers: Environment, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The quota actor raises for the first task; there are more behind it than a batch has."""
    env = env_without_workers
    monkeypatch.setattr(sweeper, "BATCH", 2)
    created = [await env.create() for _ in range(7)]
    if end == "abandoned":
        for task_id in created:
            await env.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING))
    ask = env.quota.ask

    async def fail_for_the_first(message: Any) -> Any:
        if isinstance(message, Refund) and message.task.id == created[0]:
            raise ZeroDivisionError
        return await ask(message)

    monkeypatch.setattr(env.quota, "ask", fail_for_the_first)
    await env.pass_time(seconds=EXTERNAL_LEASE / 1000 if end == "abandoned" else DAY)
    states = [(await env.load(task_id)).error for task_id in created]
    assert states == [None] + [end] * 6
    monkeypatch.undo()
    await env.tasks.ask(Sweep())
    assert (await env.load(created[0])).error == end
    assert (await env.quota.ask(GetBalance(USER))).remaining == 10


def metric(name: str, type: str) -> float | None:
    return REGISTRY.get_sample_value(f"darkroom_tasks_{name}", {"type": type})


async def test_waiting_tasks_and_the_age_of_the_oldest_are_metrics(tmp_path: Path) -> None:
    async with environment(tmp_path, workers=0) as env:
        await env.tasks.ask(Sweep())
        assert (metric("waiting", "plain"), metric("oldest_waiting_seconds", "plain")) == (0, 0)
        created: Sequence[str] = [await env.create() for _ in range(2)]
        await env.pass_time(seconds=60)
        await env.create("outside")
        await env.tasks.ask(Sweep())
        assert (metric("waiting", "plain"), metric("oldest_waiting_seconds", "plain")) == (2, 60)
        assert (metric("waiting", "outside"), metric("oldest_waiting_seconds", "outside")) == (1, 0)
        for task_id in created:
            await env.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING))
        await env.tasks.ask(Sweep())
        assert (metric("waiting", "plain"), metric("oldest_waiting_seconds", "plain")) == (0, 0)


class TickingClock(ManualClock):
    """A clock whose time passes, as that of a machine does: a millisecond at each look at it."""

    def now(self) -> int:
        self.time += 1
        return self.time


async def test_an_interrupted_task_of_a_former_process_waits_again_after_the_first_sweep(tmp_path: Path) -> None:
    async with environment(tmp_path, workers=0, clock=TickingClock()) as env:
        task_id = await env.create()
        now = env.clock.now()
        await env.db.write(lambda c: queue.claim(c, "plain", 1, now, now + LEASE))
        await env.tasks.recover()
        await env.tasks.ask(Sweep())
        assert (await env.waiting(), await env.history(task_id)) == (1, ["claimed", "interrupted"])


async def claim(env: Environment, task_id: str) -> Task:
    now = env.clock.now()
    await env.db.write(lambda c: queue.claim(c, "plain", 1, now, now + LEASE))
    return await env.load(task_id)


@pytest.mark.parametrize("state", ["waiting", "postponed", "interrupted", "held", "unknown type"])
async def test_a_task_ends_in_time_after_a_clock_that_was_ahead_is_set_right(tmp_path: Path, state: str) -> None:
    async with environment(tmp_path, workers=0) as env:
        env.clock.advance(days=365)
        task_id = await env.create()
        if state == "postponed":
            await env.tasks.ask(PostponeTask(await claim(env, task_id), 60, "busy"))
        elif state == "interrupted":
            await env.tasks.ask(InterruptTask(await claim(env, task_id), "the disk is full"))
        elif state == "held":
            await env.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING))
        elif state == "unknown type":
            await env.db.write(lambda c: c.execute("UPDATE tasks SET type = 'former'"))
        env.clock.advance(days=-365)
        for _ in range(26):
            await env.pass_time(seconds=3600)
        assert (await env.load(task_id)).error == ("abandoned" if state == "held" else "not_started")
