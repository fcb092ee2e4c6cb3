"""Attempts in this process: how they end, what is tried again, and who may end a task."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from actors.errors import Overloaded
from actors.ports import PictureRefused
from actors.task import attempts
from actors.task.attempt import Busy, TaskRefused
from actors.task.attempts import LEASE
from actors.task.messages import (
    CancelTask,
    CreateTask,
    FailTask,
    FinishTask,
    InterruptTask,
    ReleaseTask,
    RenewLeases,
    ReportStatus,
    Sweep,
    Task,
    TaskStatus,
)
from storage.task import queue
from tests.actors.task.environment import OTHER, USER, Environment, environment

ATTEMPTS = 5  # the default of tasks.limits.TYPE.attempts


async def test_the_results_of_a_task_are_stored(env: Environment) -> None:
    env.work.gate.set()
    task_id = await env.create()
    task = await env.finished(task_id)
    assert task.status is TaskStatus.SUCCESS
    assert task.results == [f"output/{USER}/{task_id}/matting.png"]
    assert await env.history(task_id) == ["claimed", "succeeded"]


async def test_tasks_wait_for_a_free_worker_and_all_are_done(env: Environment) -> None:
    created = [await env.create() for _ in range(5)]
    await env.work.started.wait()
    assert await env.waiting() == 4
    env.work.gate.set()
    assert {(await env.finished(task_id)).status for task_id in created} == {TaskStatus.SUCCESS}


async def test_progress_is_the_share_of_the_stages_that_are_done(env: Environment) -> None:
    task_id = await env.create()
    assert (await env.load(task_id)).progress == 0
    await env.work.started.wait()
    assert (await env.load(task_id)).progress == 50
    env.work.gate.set()
    assert (await env.finished(task_id)).progress == 100


@pytest.mark.parametrize("refusal", [PictureRefused("scattered"), TaskRefused("scattered")])
async def test_a_refusal_fails_the_task_with_its_reason(env: Environment, refusal: Exception) -> None:
    env.work.outcomes.append(refusal)
    env.work.gate.set()
    task = await env.finished(await env.create())
    assert (task.status, task.error) == (TaskStatus.FAILED, "scattered")
    assert await env.remaining() == 10


async def test_an_unexpected_exception_fails_the_task(env: Environment) -> None:
    env.work.outcomes.append(ZeroDivisionError())
    env.work.gate.set()
    assert (await env.finished(await env.create())).error == "internal"
    assert await env.remaining() == 10


async def test_a_missing_input_fails_the_task(env: Environment) -> None:
    first = await env.create()
    await env.work.started.wait()
    second = await env.create()
    await env.store.delete((await env.load(second)).input_key)
    env.work.gate.set()
    assert (await env.finished(second)).error == "input_missing"
    assert (await env.finished(first)).status is TaskStatus.SUCCESS


async def test_a_broken_attempt_is_repeated_after_a_growing_delay_and_charged_once(env: Environment) -> None:
    env.work.outcomes.extend([OSError("the disk is full")] * (ATTEMPTS - 1))
    env.work.gate.set()
    task_id = await env.create()
    for attempt, seconds in ((1, 5), (2, 10), (3, 20), (4, 40)):
        await env.put_back(task_id, attempt)
        await env.pass_time(seconds=seconds * 0.9 - 0.001)
        assert await env.waiting() == 0, "the delay is at least 90 % of its nominal length"
        await env.pass_time(seconds=seconds * 0.2 + 0.001)
    assert (await env.finished(task_id)).status is TaskStatus.SUCCESS
    assert await env.history(task_id) == ["claimed", "interrupted"] * 4 + ["claimed", "succeeded"]
    assert await env.remaining() == 9


@pytest.mark.parametrize("fault", [OSError("the disk is full"), Overloaded(retry_after=1), TimeoutError()])
async def test_a_task_that_is_interrupted_too_often_fails_and_is_refunded(env: Environment, fault: Exception) -> None:
    env.work.outcomes.extend([fault] * (ATTEMPTS + 3))
    env.work.gate.set()
    task_id = await env.create()
    for attempt in range(1, ATTEMPTS):
        await env.put_back(task_id, attempt)
        await env.pass_time(seconds=330)
    assert (await env.finished(task_id)).error == "interrupted"
    assert len(env.work.outcomes) == 3, f"there were {ATTEMPTS} attempts"
    assert await env.remaining() == 10


async def test_a_busy_answer_costs_no_attempt(env: Environment) -> None:
    env.work.outcomes.extend([Busy(60)] * (3 * ATTEMPTS))
    env.work.gate.set()
    task_id = await env.create()
    for attempt in range(1, 3 * ATTEMPTS + 1):
        assert (await env.put_back(task_id, attempt)).interruptions == 0
        await env.pass_time(seconds=60)
    assert (await env.finished(task_id)).status is TaskStatus.SUCCESS


async def test_an_attempt_stopped_by_a_shutdown_is_no_interruption(env: Environment) -> None:
    env.work.outcomes.append(Overloaded(retry_after=1))
    task_id = await env.create()
    await env.work.started.wait()
    env.tasks.drain()
    env.work.gate.set()
    task = await env.put_back(task_id, 1)
    assert (task.status, task.interruptions, await env.waiting()) == (TaskStatus.PROCESSING, 0, 1)


async def test_an_attempt_that_exceeds_its_time_limit_is_stopped(env: Environment) -> None:
    task_id = await env.create("no_time")
    assert (await env.put_back(task_id, 1)).interruptions == 1


async def test_the_server_renews_the_leases_of_running_attempts(env: Environment) -> None:
    task_id = await env.create()
    await env.work.started.wait()
    for _ in range(5):
        env.clock.advance(seconds=LEASE / 1000 - 1)
        await env.tasks.ask(RenewLeases())
    await env.pass_time(seconds=LEASE / 1000 - 1)
    env.work.gate.set()
    assert (await env.finished(task_id)).attempt == 1


async def test_an_attempt_that_hangs_beyond_its_time_limit_does_not_keep_its_lease(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker stays busy, but the task is given back all the same."""
    monkeypatch.setattr(attempts, "GRACE_SECONDS", -1000)
    task_id = await env.create()
    await env.work.started.wait()
    await env.pass_time(seconds=LEASE / 1000)
    task = await env.load(task_id)
    assert (task.holder, task.interruptions, await env.waiting()) == (None, 1, 1)


async def test_a_pause_of_the_whole_server_costs_no_attempt(env: Environment) -> None:
    """The clock jumps by a year while an attempt runs: the sweep renews its lease before it looks for expired ones."""
    task_id = await env.create()
    await env.work.started.wait()
    await env.pass_time(days=365)
    env.work.gate.set()
    await env.finished(task_id)
    assert await env.history(task_id) == ["claimed", "succeeded"]


async def test_after_a_restart_the_leases_of_the_former_process_end_immediately(tmp_path: Path) -> None:
    async with environment(tmp_path, workers=0) as env:
        task_id = await env.create()
        now = env.clock.now()
        await env.db.write(lambda c: queue.claim(c, "plain", 1, now, now + LEASE))
        await env.tasks.ask(Sweep())
        assert await env.waiting() == 0, "its lease has not expired"
        await env.tasks.recover()
        await env.tasks.ask(Sweep())
        assert (await env.waiting(), (await env.load(task_id)).interruptions) == (1, 1)


async def test_a_picture_with_a_wrong_name_fails_its_task_and_leaves_nothing_behind(env: Environment) -> None:
    env.work.picture = "pose_1.png"
    env.work.gate.set()
    task_id = await env.create()
    assert (await env.finished(task_id)).error == "internal"
    query = "SELECT COUNT(*) FROM pictures WHERE key LIKE 'output/%'"
    assert await env.db.read(lambda connection: connection.execute(query).fetchone()) == (0,)


async def test_a_taken_over_task_is_stopped_here_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "RENEW_SECONDS", 3600)  # so that no renewal stops it
    async with environment(tmp_path, workers=1) as env:
        task_id = await env.create()
        await env.work.started.wait()
        await env.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING))
        async with asyncio.timeout(30):
            await env.work.stopped.wait()


async def test_a_job_whose_lease_was_taken_over_is_stopped_and_changes_nothing(env: Environment) -> None:
    task_id = await env.create()
    await env.work.started.wait()
    leased = await env.load(task_id)
    await env.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING))
    await env.work.stopped.wait()
    outside = await env.load(task_id)
    for late in (
        FinishTask(leased, ["late.png"]),
        FailTask(leased, "late"),
        InterruptTask(leased, "late"),
        ReleaseTask(leased),
    ):
        await env.tasks.ask(late)
        assert await env.load(task_id) == outside
    await env.tasks.ask(ReportStatus(task_id, TaskStatus.SUCCESS, ["https://outside.test/a.png"]))
    assert (await env.finished(task_id)).results == ["https://outside.test/a.png"]


async def test_only_the_current_holder_of_a_task_can_release_it(env_without_workers: Environment) -> None:
    env = env_without_workers

    async def claim() -> Task:
        now = env.clock.now()
        (task,) = await env.db.write(lambda c: queue.claim(c, "plain", 1, now, now + LEASE))
        return task

    await env.create()
    first = await claim()
    await env.pass_time(seconds=LEASE / 1000)
    second = await claim()
    await env.tasks.ask(ReleaseTask(first))
    held = await env.load(second.id)
    assert (held.holder, held.attempt) == (second.holder, second.attempt)


async def test_a_user_with_many_tasks_does_not_delay_another_user(env: Environment) -> None:
    blocking = await env.create()
    await env.work.started.wait()
    many = [await env.create() for _ in range(6)]
    one = await env.create(user_id=OTHER)
    env.work.gate.set()
    await asyncio.gather(*(env.finished(task_id) for task_id in (blocking, *many)), env.finished(one, OTHER))
    assert env.work.order.index(one) <= 2, "at most one task of the first user comes before it"


async def test_fair_turns_continue_after_a_restart(tmp_path: Path) -> None:
    async with environment(tmp_path, workers=0) as env:
        many = [await env.create() for _ in range(3)]
        await env.tasks.recover()
        many.append(await env.create())
        one = await env.create(user_id=OTHER)
        turns = {id: (await env.load(id)).turn for id in many} | {one: (await env.load(one, OTHER)).turn}
    assert [turns[id] for id in many] == [0, 1, 2, 3] and turns[one] == 0


async def test_a_cancelled_task_gives_its_turn_back(env_without_workers: Environment) -> None:
    env = env_without_workers
    created = [await env.create() for _ in range(3)]
    for task_id in created[1:]:
        await env.tasks.ask(CancelTask(USER, task_id))
    assert (await env.load(await env.create())).turn == 1


async def test_creations_that_were_refused_or_repeated_take_no_turn(env_without_workers: Environment) -> None:
    env = env_without_workers
    url = env.store.sign_download(await env.upload())
    for _ in range(5):
        await env.tasks.ask(CreateTask(USER, "plain", url, {}, "the same key"))
    assert (await env.load(await env.create())).turn == 1
