"""The cleanup of pictures: what is deleted when, and what is never deleted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from actors.errors import FileMissing, Overloaded
from actors.message import Message
from actors.retention import Purge
from actors.task import picture_cleanup
from actors.task.attempt import TaskRefused
from actors.task.inputs import InputsInUse
from actors.task.messages import CreateTask, DeleteTask, RecordPictures, ReportStatus, Sweep, TaskStatus
from actors.task.retry import RetryTask
from storage.engine.connection import Connection
from tests.actors.task.environment import USER, Environment, environment


async def upload(env: Environment) -> str:
    """Upload a picture as a client does, and return its key."""
    key = await env.upload()
    await env.tasks.ask(RecordPictures(USER, [(key, 5)]))
    return key


async def create(env: Environment, key: str, type: str = "plain") -> str:
    return (await env.tasks.ask(CreateTask(USER, type, env.store.sign_download(key), {}))).task_id


def stored(env: Environment) -> set[str]:
    """Return the keys of all objects."""
    root = env.folder / "pictures"
    return {path.relative_to(root).as_posix() for path in root.rglob("*.*")}


async def recorded(env: Environment) -> dict[str, int]:
    return dict(await env.db.read(lambda c: c.execute("SELECT key, bytes FROM pictures").fetchall()))


async def disk_use(env: Environment) -> int:
    rows = await env.db.read(lambda c: c.execute("SELECT bytes FROM disk_use WHERE user_id = ?", (USER,)).fetchall())
    return int(rows[0][0]) if rows else 0


async def test_pictures_of_a_finished_task_are_deleted_after_thirty_days(env: Environment) -> None:
    env.work.gate.set()
    task = await env.finished(await create(env, key := await upload(env)))
    assert stored(env) == set(await recorded(env)) == {key, *task.results}
    assert await disk_use(env) == len(b"photo") + len(b"picture")
    assert task.completed_at is not None and task.pictures_until == task.completed_at + 30 * 86_400_000
    env.clock.advance(days=30, seconds=-1)
    await env.tasks.ask(Purge())
    assert stored(env) == {key, *task.results}
    env.clock.advance(seconds=1)
    await env.tasks.ask(Purge())
    assert (stored(env), await recorded(env), await disk_use(env)) == (set(), {}, 0)


async def test_an_upload_that_no_task_uses_is_deleted_after_a_day(env_without_workers: Environment) -> None:
    env = env_without_workers
    unused, used = await upload(env), await upload(env)
    await create(env, used)
    env.clock.advance(days=1, seconds=-1)
    await env.tasks.ask(Purge())
    assert stored(env) == {unused, used}
    env.clock.advance(seconds=1)
    await env.tasks.ask(Purge())
    assert stored(env) == {used}
    with pytest.raises(FileMissing):
        await create(env, unused)


async def test_the_input_of_a_failed_task_is_deleted_after_a_week(env: Environment) -> None:
    env.work.outcomes.append(TaskRefused("no_garment"))
    env.work.gate.set()
    await env.finished(await create(env, key := await upload(env)))
    env.clock.advance(days=7, seconds=-1)
    await env.tasks.ask(Purge())
    assert stored(env) == {key}
    env.clock.advance(seconds=1)
    await env.tasks.ask(Purge())
    assert stored(env) == set()


async def wait_as_it_is(env: Environment, task_id: str) -> None:
    """Leave the task waiting."""


async def take_over(env: Environment, task_id: str) -> None:
    await env.tasks.ask(ReportStatus(task_id, TaskStatus.PROCESSING))


@pytest.mark.parametrize("state", [wait_as_it_is, take_over])
async def test_the_input_of_an_unfinished_task_is_never_deleted(
    env_without_workers: Environment, state: Callable[[Environment, str], Awaitable[None]]
) -> None:
    env = env_without_workers
    await state(env, await create(env, key := await upload(env)))
    env.clock.advance(days=400)
    await env.tasks.ask(Purge())
    assert stored(env) == {key}


async def test_an_input_is_kept_as_long_as_the_last_of_its_tasks_needs_it(env: Environment) -> None:
    env.work.gate.set()
    key = await upload(env)
    first = await env.finished(await create(env, key))
    env.clock.advance(days=20)
    second = await env.finished(await create(env, key))
    env.clock.advance(days=20)
    await env.tasks.ask(Purge())
    assert stored(env) == {key, *second.results}
    assert not {*first.results} & stored(env)


async def test_an_input_is_not_deleted_earlier_because_a_later_task_failed(env: Environment) -> None:
    env.work.gate.set()
    key = await upload(env)
    await env.finished(await create(env, key))
    env.work.outcomes.append(TaskRefused("no_garment"))
    await env.finished(await create(env, key))
    env.clock.advance(days=29)
    await env.tasks.ask(Purge())
    assert key in stored(env)


def test_a_picture_is_never_both_needed_by_a_new_task_and_being_deleted() -> None:
    inputs = InputsInUse()
    with inputs.needed("a"), inputs.needed("a"), inputs.deleting(["a", "b"]) as free:
        assert free == ["b"]
        assert (inputs.is_being_deleted("a"), inputs.is_being_deleted("b")) == (False, True)
    with inputs.deleting(["a", "b"]) as free:
        assert free == ["a", "b"]


async def test_deleting_a_task_deletes_its_pictures_but_no_input_of_another_task(env: Environment) -> None:
    env.work.gate.set()
    key = await upload(env)
    first, second = [await env.finished(await create(env, key)) for _ in range(2)]
    await env.tasks.ask(DeleteTask(USER, first.id))
    await env.tasks.ask(Purge())
    assert stored(env) == {key, *second.results}
    await env.tasks.ask(DeleteTask(USER, second.id))
    await env.tasks.ask(Purge())
    assert (stored(env), await disk_use(env)) == (set(), 0)


async def test_deleting_a_finished_task_keeps_the_input_of_a_waiting_one(tmp_path: Path) -> None:
    async with environment(tmp_path, workers=0) as env:
        key = await upload(env)
        done, waiting = await create(env, key), await create(env, key)
        await env.tasks.ask(ReportStatus(done, TaskStatus.SUCCESS, ["https://outside.test/a.png"]))
        await env.tasks.ask(DeleteTask(USER, done))
        await env.tasks.ask(Purge())
        assert stored(env) == {key}
        await env.tasks.ask(ReportStatus(waiting, TaskStatus.SUCCESS, ["https://outside.test/b.png"]))
        await env.tasks.ask(DeleteTask(USER, waiting))
        await env.tasks.ask(Purge())
        assert stored(env) == set()


async def test_a_purge_goes_on_behind_pictures_that_it_may_not_delete(
    env_without_workers: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = env_without_workers
    monkeypatch.setattr(picture_cleanup, "BATCH", 2)
    needed = {await upload(env) for _ in range(5)}
    for key in needed:
        await create(env, key)
    for _ in range(5):
        await upload(env)
    env.clock.advance(days=2)
    await env.tasks.ask(Purge())
    assert stored(env) == set(await recorded(env)) == needed


async def test_a_picture_that_is_being_deleted_cannot_be_used_by_a_new_task(
    env_without_workers: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = env_without_workers
    key = await upload(env)
    url = env.store.sign_download(key)
    delete = env.store.delete

    async def create_meanwhile(deleted: str) -> None:
        with pytest.raises(FileMissing):
            await env.tasks.ask(CreateTask(USER, "plain", url, {}))
        await delete(deleted)

    monkeypatch.setattr(env.store, "delete", create_meanwhile)
    env.clock.advance(days=2)
    await env.tasks.ask(Purge())
    assert (stored(env), await env.remaining()) == (set(), 10)


async def test_a_picture_that_cannot_be_deleted_does_not_keep_the_others_from_it(
    env_without_workers: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = env_without_workers
    first, _, _ = [await upload(env) for _ in range(3)]
    delete = env.store.delete

    async def fail_for_the_first(key: str) -> None:
        if key == first:
            raise OSError("the disk is read-only")
        await delete(key)

    monkeypatch.setattr(env.store, "delete", fail_for_the_first)
    env.clock.advance(days=2)
    await env.tasks.ask(Purge())
    assert stored(env) == set(await recorded(env)) == {first}
    monkeypatch.undo()
    await env.tasks.ask(Purge())
    assert stored(env) == set(await recorded(env)) == set()


async def test_a_purge_that_was_interrupted_is_continued(
    env_without_workers: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is deleted but its row is not, as after a crash."""
    env = env_without_workers
    key = await upload(env)
    await env.store.delete(key)
    env.clock.advance(days=2)
    await env.tasks.ask(Purge())
    assert await recorded(env) == {}


async def hold_writer(env: Environment) -> tuple[threading.Event, asyncio.Task[object]]:
    """Let no transaction run until the event is set."""
    release, started = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: object) -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait()

    holding: asyncio.Task[object] = asyncio.create_task(env.db.write(hold))
    await started.wait()
    return release, holding


@pytest.mark.parametrize("kind", ["creation", "retry"])
async def test_the_input_of_a_task_that_is_being_created_is_not_deleted(
    env_without_workers: Environment, kind: str
) -> None:
    """The commit of the task is held back until the purge has ended, or has deleted the picture."""
    env = env_without_workers
    key = await upload(env)
    message: Message[Any] = CreateTask(USER, "plain", env.store.sign_download(key), {})
    if kind == "retry":
        failed = (await env.tasks.ask(message)).task_id
        await env.tasks.ask(ReportStatus(failed, TaskStatus.FAILED))
        message = RetryTask(failed, "a test")
    env.clock.advance(days=8)
    release, holding = await hold_writer(env)
    creating = asyncio.create_task(env.tasks.ask(message))
    async with asyncio.timeout(30):
        while key not in env.tasks._creation._inputs._needed:
            await env.waiting()  # a read, which lets the others go on
        purge = asyncio.create_task(env.tasks.ask(Purge()))
        while not purge.done() and key in stored(env):
            await env.waiting()
    release.set()
    await asyncio.gather(holding, creating, purge)
    assert key in stored(env)


async def test_a_picture_that_is_stored_again_during_a_purge_is_not_forgotten(
    env_without_workers: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = env_without_workers
    first, again = sorted([await upload(env), await upload(env)])
    delete = env.store.delete

    async def store_the_other_again(key: str) -> None:
        for each in (first, again):
            with suppress(Overloaded):  # the picture is being deleted; the client tries again
                await env.tasks.ask(RecordPictures(USER, [(each, 7)]))
                await env.store.put(each, env.folder / "photo")
        await delete(key)

    monkeypatch.setattr(env.store, "delete", store_the_other_again)
    env.clock.advance(days=2)
    await env.tasks.ask(Purge())
    assert stored(env) == set(await recorded(env))


async def test_results_of_an_unfinished_task_are_not_deleted(env: Environment) -> None:
    """An attempt has stored them, and another one will store them again and finish the task."""
    env.work.outcomes.append(OSError("the disk is full"))
    env.work.gate.set()
    task = await env.put_back(await create(env, await upload(env)), 1)
    result = f"output/{USER}/{task.id}/matting.png"
    await env.tasks.ask(RecordPictures(USER, [(result, 5)]))
    await env.store.put(result, env.folder / "photo")
    env.clock.advance(days=3)
    await env.tasks.ask(Purge())
    assert result in stored(env)


async def test_a_task_that_is_deleted_during_a_purge_loses_its_pictures_in_the_same_purge(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.work.gate.set()
    first, second = [await env.finished(await create(env, await upload(env))) for _ in range(2)]
    delete = env.store.delete

    async def delete_the_second_meanwhile(key: str) -> None:
        monkeypatch.undo()
        await env.tasks.ask(DeleteTask(USER, second.id))
        await delete(key)

    monkeypatch.setattr(env.store, "delete", delete_the_second_meanwhile)
    await env.tasks.ask(DeleteTask(USER, first.id))
    env.clock.advance(seconds=1)
    await env.tasks.ask(Purge())
    assert stored(env) == set()


async def test_pictures_of_a_former_version_are_recorded_once_and_then_cleaned_up(tmp_path: Path) -> None:
    """A former version wrote no rows for pictures, and none of its tasks says how long they are kept."""
    async with environment(tmp_path, workers=1) as env:
        env.work.gate.set()
        key, unused = await env.upload(), await env.upload()
        tasks = [await env.finished(await create(env, key)) for _ in range(2)]
        await env.db.write(forget)
        await env.tasks.ask(Purge())
        pictures = {key, unused, *tasks[0].results, *tasks[1].results}
        assert set(await recorded(env)) == stored(env) == pictures
        assert await disk_use(env) == 2 * len(b"photo") + 2 * len(b"picture")
        now = env.clock.now()
        assert [(await env.load(task.id)).pictures_until for task in tasks] == [now + 30 * 86_400_000] * 2
        await env.tasks.ask(DeleteTask(USER, tasks[0].id))
        await env.tasks.ask(Purge())
        assert stored(env) == pictures - {*tasks[0].results}, "the other task still uses the input"
        env.clock.advance(days=30)
        await env.tasks.ask(Purge())
        await env.tasks.ask(Sweep())
        assert stored(env) == set()


async def test_pictures_of_a_former_task_that_was_deleted_before_they_were_recorded_go_at_once(tmp_path: Path) -> None:
    async with environment(tmp_path, workers=1) as env:
        env.work.gate.set()
        key, shared = await env.upload(), await env.upload()
        deleted = await env.finished(await create(env, key))
        of_shared, kept = [await env.finished(await create(env, shared)) for _ in range(2)]
        await env.db.write(forget)
        for task in (deleted, of_shared):
            await env.tasks.ask(DeleteTask(USER, task.id))
        await env.tasks.ask(Purge())
        assert stored(env) == {shared, *kept.results}


async def test_a_failure_to_record_former_pictures_does_not_stop_the_cleanup(
    env_without_workers: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = env_without_workers
    await upload(env)
    await env.db.write(lambda connection: connection.execute("INSERT INTO unrecorded_pictures VALUES (1)"))

    def fail() -> None:
        raise OSError("the folder cannot be read")

    monkeypatch.setattr(env.store, "objects", fail)
    env.clock.advance(days=2)
    await env.tasks.ask(Purge())
    assert stored(env) == set()


def forget(connection: Connection) -> None:
    """Leave the rows as a former version would have written them."""
    for statement in (
        "DELETE FROM pictures",
        "UPDATE tasks SET pictures_until = NULL",
        "INSERT INTO unrecorded_pictures VALUES (1)",
    ):
        connection.execute(statement)
