"""External workers: leases by reports, fencing tokens and progress."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.errors import DomainError, LeaseLost, TaskFinished
from actors.task.external_workers import EXTERNAL_LEASE
from actors.task.messages import ReportStatus, Sweep, TaskStatus
from tests.actors.task.environment import Environment

RESULT = "https://outside.test/a.png"


def processing(task_id: str, attempt: int | None = None, progress: int | None = None) -> ReportStatus:
    return ReportStatus(task_id, TaskStatus.PROCESSING, progress=progress, attempt=attempt)


@pytest.fixture
def env(env_without_workers: Environment) -> Environment:
    return env_without_workers


async def test_a_worker_keeps_its_task_as_long_as_it_reports(env: Environment) -> None:
    task_id = await env.create("outside")
    attempt = await env.tasks.ask(processing(task_id))
    for _ in range(15):
        env.clock.advance(seconds=EXTERNAL_LEASE / 1000 - 1)
        await env.tasks.recover()
        await env.tasks.ask(Sweep())
        assert await env.tasks.ask(processing(task_id, attempt)) == attempt
    await env.tasks.ask(ReportStatus(task_id, TaskStatus.SUCCESS, [RESULT], attempt=attempt))
    assert (await env.load(task_id)).status is TaskStatus.SUCCESS


async def test_a_task_is_refunded_when_its_worker_stops_reporting(env: Environment) -> None:
    task_id = await env.create("outside")
    await env.tasks.ask(processing(task_id))
    await env.pass_time(seconds=EXTERNAL_LEASE / 1000)
    assert (await env.load(task_id)).error == "abandoned"
    assert await env.remaining() == 10
    with pytest.raises(TaskFinished):
        await env.tasks.ask(ReportStatus(task_id, TaskStatus.SUCCESS, [RESULT]))


async def test_a_worker_that_reports_forever_loses_its_task_a_week_after_the_creation(env: Environment) -> None:
    task_id = await env.create("outside")
    await env.pass_time(seconds=3600)
    attempt = await env.tasks.ask(processing(task_id))
    for _ in range(7 * 24):
        await env.pass_time(seconds=EXTERNAL_LEASE / 1000 - 1)
        try:
            await env.tasks.ask(processing(task_id, attempt))
        except DomainError:
            break
    task = await env.load(task_id)
    assert task.error == "abandoned" and task.completed_at is not None
    assert 6 * 24 < (task.completed_at - task.created_at) / 3_600_000 < 7 * 24 + 1


@pytest.mark.parametrize(
    "late",
    [
        lambda task_id: processing(task_id, 1, 90),
        lambda task_id: ReportStatus(task_id, TaskStatus.SUCCESS, [RESULT], attempt=1),
        lambda task_id: ReportStatus(task_id, TaskStatus.FAILED, reason="late", attempt=1),
        lambda task_id: processing(task_id, 3),
    ],
)
async def test_a_report_with_an_outdated_attempt_is_refused_and_changes_nothing(
    env: Environment, late: Callable[[str], ReportStatus]
) -> None:
    task_id = await env.create("outside")
    assert await env.tasks.ask(processing(task_id)) == 1
    assert await env.tasks.ask(processing(task_id, progress=30)) == 2, "without an attempt, a report takes the task"
    before = await env.load(task_id)
    with pytest.raises(LeaseLost):
        await env.tasks.ask(late(task_id))
    assert await env.load(task_id) == before
    assert await env.remaining() == 9


async def test_progress_is_stored_as_a_maximum(env: Environment) -> None:
    task_id = await env.create("outside")
    attempt = await env.tasks.ask(processing(task_id, progress=40))
    for progress, shown in ((20, 40), (60, 60), (None, 60), (0, 60), (100, 99)):
        await env.tasks.ask(processing(task_id, attempt, progress))
        assert (await env.load(task_id)).progress == shown
    await env.tasks.ask(processing(task_id, progress=1))
    assert (await env.load(task_id)).progress == 99, "also for another worker"


async def test_the_history_names_each_holder(env: Environment) -> None:
    task_id = await env.create("outside")
    await env.tasks.ask(processing(task_id))
    await env.tasks.ask(processing(task_id, 1))
    await env.tasks.ask(processing(task_id))
    await env.tasks.ask(ReportStatus(task_id, TaskStatus.FAILED, reason="no garment"))
    assert await env.history(task_id) == ["taken_over", "taken_over", "failed"]
