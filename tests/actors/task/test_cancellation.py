"""Cancelling and deleting tasks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.errors import NotAllowed, TaskFinished, TaskHeld, TaskNotFound, TaskUnfinished, TooManyCancellations
from actors.message import Message
from actors.quota.commands import Adjust
from actors.task.attempt import Busy
from actors.task.cancellation import CANCELLATIONS_PER_MINUTE
from actors.task.messages import CancelTask, DeleteTask, ListTasks, ReportStatus, TaskFilter, TaskStatus
from storage.quota.adjustments import Adjustment
from tests.actors.task.environment import OTHER, USER, Environment


async def test_a_waiting_task_is_cancelled_and_refunded(env_without_workers: Environment) -> None:
    env = env_without_workers
    task_id = await env.create()
    assert await env.remaining() == 9
    cancelled = await env.tasks.ask(CancelTask(USER, task_id))
    assert (cancelled.status, cancelled.error, await env.remaining()) == (TaskStatus.FAILED, "cancelled", 10)
    with pytest.raises(TaskFinished):
        await env.tasks.ask(CancelTask(USER, task_id))
    assert await env.remaining() == 10


async def test_a_postponed_task_is_cancelled(env: Environment) -> None:
    env.work.outcomes.append(Busy(60))
    env.work.gate.set()
    task_id = await env.create()
    await env.put_back(task_id, 1)
    assert (await env.tasks.ask(CancelTask(USER, task_id))).error == "cancelled"
    await env.pass_time(seconds=3600)
    assert await env.history(task_id) == ["claimed", "postponed", "failed"]


async def test_a_running_task_is_not_cancelled_if_its_type_cannot_be_stopped(env: Environment) -> None:
    task_id = await env.create()
    await env.work.started.wait()
    with pytest.raises(TaskHeld):
        await env.tasks.ask(CancelTask(USER, task_id))
    assert await env.remaining() == 9
    env.work.gate.set()
    assert (await env.finished(task_id)).status is TaskStatus.SUCCESS


async def test_a_running_task_of_a_type_that_can_be_stopped_is_cancelled_and_its_worker_is_free(
    env: Environment,
) -> None:
    task_id = await env.create("stoppable")
    await env.work.started.wait()
    waiting = await env.create()
    assert (await env.tasks.ask(CancelTask(USER, task_id))).error == "cancelled"
    await env.work.stopped.wait()
    env.work.gate.set()
    assert (await env.finished(waiting)).status is TaskStatus.SUCCESS
    assert (await env.load(task_id)).error == "cancelled"
    assert await env.remaining() == 9


async def test_a_task_of_an_external_worker_is_not_cancelled_if_its_type_cannot_be_stopped(
    env_without_workers: Environment,
) -> None:
    env = env_without_workers
    task_id = await env.create("outside")
    await env.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING))
    with pytest.raises(TaskHeld):
        await env.tasks.ask(CancelTask(USER, task_id))


async def test_of_many_cancellations_and_reports_of_a_task_one_wins(env_without_workers: Environment) -> None:
    env = env_without_workers
    task_id = await env.create("stoppable")
    success = ReportStatus(task_id, TaskStatus.SUCCESS, ["https://outside.test/a.png"])
    messages: list[Message[Any]] = [CancelTask(USER, task_id), success] * 10
    outcomes = await asyncio.gather(*map(env.tasks.ask, messages), return_exceptions=True)
    assert len([outcome for outcome in outcomes if not isinstance(outcome, TaskFinished)]) == 1
    final = await env.load(task_id)
    assert await env.remaining() == (10 if final.status is TaskStatus.FAILED else 9)


async def test_cancellations_are_limited_because_each_leaves_rows(env_without_workers: Environment) -> None:
    env = env_without_workers
    await env.quota.ask(Adjust(Adjustment("more", USER, "for this test", 0), CANCELLATIONS_PER_MINUTE))
    for _ in range(CANCELLATIONS_PER_MINUTE):
        await env.tasks.ask(CancelTask(USER, await env.create()))
    task_id, of_other = await env.create(), await env.create(user_id=OTHER)
    with pytest.raises(TooManyCancellations):
        await env.tasks.ask(CancelTask(USER, task_id))
    assert (await env.load(task_id)).status is TaskStatus.PENDING
    await env.tasks.ask(CancelTask(OTHER, of_other))
    env.clock.advance(seconds=60)
    await env.tasks.ask(CancelTask(USER, task_id))


async def test_a_refused_cancellation_does_not_count_against_the_limit(env: Environment) -> None:
    running = await env.create()
    await env.work.started.wait()
    waiting = await env.create()
    for _ in range(CANCELLATIONS_PER_MINUTE + 1):
        with pytest.raises(TaskHeld):
            await env.tasks.ask(CancelTask(USER, running))
    assert (await env.tasks.ask(CancelTask(USER, waiting))).error == "cancelled"


async def test_only_the_owner_can_cancel_and_delete(env_without_workers: Environment) -> None:
    env = env_without_workers
    task_id = await env.create()
    foreign: tuple[Message[Any], ...] = (CancelTask(OTHER, task_id), DeleteTask(OTHER, task_id))
    unknown: tuple[Message[Any], ...] = (CancelTask(USER, "0" * 32), DeleteTask(USER, "0" * 32))
    for message in foreign:
        with pytest.raises(NotAllowed):
            await env.tasks.ask(message)
    for message in unknown:
        with pytest.raises(TaskNotFound):
            await env.tasks.ask(message)


async def test_a_deleted_task_is_gone_for_everybody(env: Environment) -> None:
    env.work.gate.set()
    kept, deleted = await env.create(), await env.create()
    for task_id in (kept, deleted):
        await env.finished(task_id)
    await env.tasks.ask(DeleteTask(USER, deleted))
    page = await env.tasks.ask(ListTasks(TaskFilter(USER), 10, 0))
    assert ([task.id for task in page.tasks], page.total) == ([kept], 1)
    messages: tuple[Message[Any], ...] = (
        DeleteTask(USER, deleted),
        CancelTask(USER, deleted),
        ReportStatus(deleted, TaskStatus.FAILED),
    )
    for message in messages:
        with pytest.raises(TaskNotFound):
            await env.tasks.ask(message)
    with pytest.raises(TaskNotFound):
        await env.load(deleted)


async def test_an_unfinished_task_cannot_be_deleted(env: Environment) -> None:
    waiting, running = await env.create(), await env.create()
    await env.work.started.wait()
    for task_id in (waiting, running):
        with pytest.raises(TaskUnfinished):
            await env.tasks.ask(DeleteTask(USER, task_id))
