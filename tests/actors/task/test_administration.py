"""What the operator can do with tasks: the parts that no test of server/operator can cause."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import FileMissing, TaskFinished
from actors.retention import Purge
from actors.task.administration import CancelForUser, EndTask, GetTaskDetails
from actors.task.attempt import TaskRefused
from actors.task.attempts import RENEW_SECONDS
from actors.task.messages import TaskStatus
from actors.task.retry import Retried, RetryTask
from actors.task.sweeper import SWEEP_SECONDS
from tests.actors.task.environment import OTHER, USER, Environment


async def fail(env: Environment, task_id: str) -> str:
    await env.tasks.ask(EndTask(task_id, "a test"))
    return task_id


async def test_a_task_that_the_operator_fails_is_stopped_here_and_its_worker_is_free(env: Environment) -> None:
    running = await env.create()
    await env.work.started.wait()
    waiting = await env.create()
    assert (await env.tasks.ask(EndTask(running, "a test"))).error == "a test"
    async with asyncio.timeout(RENEW_SECONDS / 2):  # later, the renewal of leases stops it too
        await env.work.stopped.wait()
    env.work.gate.set()
    assert (await env.finished(waiting)).status is TaskStatus.SUCCESS
    assert await env.history(running) == ["claimed", "failed"]
    assert await env.remaining() == 9


async def test_of_many_failures_and_cancellations_by_the_operator_one_wins(env_without_workers: Environment) -> None:
    env = env_without_workers
    task_id = await env.create()
    messages = [EndTask(task_id, "a test"), CancelForUser(task_id)] * 10
    outcomes = await asyncio.gather(*map(env.tasks.ask, messages), return_exceptions=True)
    assert len([outcome for outcome in outcomes if not isinstance(outcome, TaskFinished)]) == 1
    assert await env.remaining() == 10


async def test_a_retry_waits_for_its_fair_turn(env: Environment) -> None:
    first = await env.create()
    await env.work.started.wait()
    failed = await fail(env, await env.create(user_id=OTHER))
    second, third = await env.create(), await env.create()
    retry = (await env.tasks.ask(RetryTask(failed, "a test"))).task_id
    env.work.gate.set()
    await env.finished(third)
    assert env.work.order.index(retry) < env.work.order.index(third)
    assert sorted(env.work.order) == sorted([first, second, third, retry])


async def test_a_retry_is_begun_without_waiting_for_a_sweep(env: Environment) -> None:
    env.work.gate.set()
    env.work.outcomes.append(TaskRefused("a test"))
    failed = await env.create()
    assert (await env.finished(failed)).status is TaskStatus.FAILED
    retry = await env.tasks.ask(RetryTask(failed, "a test"))
    async with asyncio.timeout(SWEEP_SECONDS / 2):
        assert (await env.finished(retry.task_id)).status is TaskStatus.SUCCESS


async def test_many_retries_of_one_task_know_of_each_other(env_without_workers: Environment) -> None:
    env = env_without_workers
    failed = await fail(env, await env.create())
    made = await asyncio.gather(*(env.tasks.ask(RetryTask(failed, "a test")) for _ in range(5)))
    ids = {retried.task_id for retried in made}
    assert any(ids == {retried.task_id, *retried.others} for retried in made)
    assert set((await env.tasks.ask(GetTaskDetails(failed))).retries) == ids
    assert await env.remaining() == 10


async def test_an_input_is_deleted_or_retried_but_not_both(env_without_workers: Environment) -> None:
    env = env_without_workers
    failed = [await fail(env, await env.create()) for _ in range(20)]
    env.clock.advance(days=8)
    retries = asyncio.gather(*(env.tasks.ask(RetryTask(task, "a test")) for task in failed), return_exceptions=True)
    outcomes, _ = await asyncio.gather(retries, env.tasks.ask(Purge()))
    for task_id, outcome in zip(failed, outcomes, strict=True):
        exists = await env.store.exists((await env.load(task_id)).input_key)
        assert isinstance(outcome, Retried if exists else FileMissing), outcome


async def test_a_retry_costs_what_the_failed_task_was_charged(env_without_workers: Environment) -> None:
    env = env_without_workers
    failed = await fail(env, await env.create())
    with pytest.raises(TaskFinished):
        await env.tasks.ask(EndTask(failed, "once more"))
    retried = await env.tasks.ask(RetryTask(failed, "a test"))
    entries = (await env.tasks.ask(GetTaskDetails(retried.task_id))).entries
    assert [(entry.kind.value, entry.amount, reason) for entry, reason in entries] == [
        *(("adjust", 1, f"retry of task {failed}: a test"), ("charge", -1, None))
    ]
    assert (await env.load(retried.task_id)).user_id == USER
