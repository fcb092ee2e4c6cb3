"""Calls that end tasks, and what a finished task shows as time passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.retention import Purge
from actors.task.messages import Sweep
from tests.support.pictures import shirt
from tests.support.server import ApiUser, LocalServer, running_server
from tests.support.uploads import store_picture


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server with a picture worker."""
    async with running_server(tmp_path) as server:
        yield server


async def finished_task(server: LocalServer) -> tuple[ApiUser, Any]:
    member = await server.new_member()
    created = await server.create_task(member, await server.upload(member, shirt(200)))
    return member, await server.wait_until_finished(member, created["taskId"])


async def test_a_waiting_task_is_cancelled_with_its_quota_back(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}) as server:
        member, other = await server.new_member(), await server.new_member()
        task_id = (await server.create_task(member, await store_picture(server, member)))["taskId"]
        cancel = f"/api/task/{task_id}/cancel"
        assert (await server.post(cancel)).refusal == (401, 1001)
        assert (await server.post(cancel, user=other)).refusal == (403, 4003)
        task = (await server.post(cancel, user=member)).data
        assert (task["status"], task["progress"], task["errorMessage"]) == ("failed", 100, "任务已取消，次数已退回")
        assert (await server.post(cancel, user=member)).refusal == (409, 4009)
        assert await server.ledger(member) == [("grant", 100, 100), ("charge", -1, 99), ("refund", 1, 100)]
        assert (await server.post(f"/api/task/{'0' * 32}/cancel", user=member)).refusal == (404, 4004)


async def test_a_deleted_task_is_404_and_in_no_list_but_its_ledger_entry_stays(server: LocalServer) -> None:
    member, task = await finished_task(server)
    result = task["resultUrls"][0]
    path = f"/api/task/{task['id']}"
    assert (await server.delete(path)).refusal == (401, 1001)
    assert (await server.delete(path, user=await server.new_user())).refusal == (403, 4003)
    assert (await server.delete(path, user=member)).content == {"success": True, "data": None, "message": "任务已删除"}
    await server.system._tasks.ask(Purge())
    for gone in (
        await server.get(path, user=member),
        await server.delete(path, user=member),
        await server.post(f"{path}/cancel", user=member),
        await server.get(result),
        await server.get(str(task["inputImageUrl"])),
    ):
        assert gone.refusal == (404, 4004)
    page = (await server.get("/api/task/list?status=success", user=member)).data
    assert (page["tasks"], page["total"]) == ([], 0)
    assert await server.ledger(member) == [("grant", 100, 100), ("charge", -1, 99)]


async def test_an_unfinished_task_cannot_be_deleted(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}) as server:
        member = await server.new_member()
        task_id = (await server.create_task(member, await store_picture(server, member)))["taskId"]
        assert (await server.delete(f"/api/task/{task_id}", user=member)).refusal == (409, 4009)
        assert (await server.get(f"/api/task/{task_id}", user=member)).data["status"] == "pending"


@pytest.mark.parametrize("name", ["list", "types", "create"])
async def test_a_fixed_path_is_never_taken_for_a_task_that_can_be_deleted(server: LocalServer, name: str) -> None:
    response = await server.delete(f"/api/task/{name}", user=await server.new_user())
    assert response.status == 405


async def test_a_task_says_how_long_its_pictures_are_kept_and_then_that_they_are_gone(server: LocalServer) -> None:
    member, task = await finished_task(server)
    assert (task["picturesUntil"], task["picturesMessage"]) == ("2026-12-23T08:00:00.000Z", None)
    server.clock.advance(days=30, seconds=-1)
    await server.system._tasks.ask(Purge())
    member = await server.log_in(member.phone)
    shown = (await server.get(f"/api/task/{task['id']}", user=member)).data
    assert len(shown["resultUrls"]) == 3 and (await server.get(shown["resultUrls"][0])).status == 200
    server.clock.advance(seconds=1)
    gone = (await server.get(f"/api/task/{task['id']}", user=member)).data
    assert (gone["resultUrls"], gone["picturesMessage"]) == ([], "图片已超过保存期限")
    assert (gone["status"], gone["picturesUntil"]) == ("success", "2026-12-23T08:00:00.000Z")
    await server.system._tasks.ask(Purge())
    assert (await server.get(shown["resultUrls"][0])).refusal == (404, 4004)
    assert not list((server.data / "pictures").rglob("*.*")), "no file is left"


async def test_a_task_that_nobody_takes_fails_before_the_membership_that_paid_for_it_ends(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}) as server:
        member = await server.new_member()
        task_id = (await server.create_task(member, await store_picture(server, member)))["taskId"]
        metric = 'darkroom_tasks_waiting{type="basic_clean"} 1.0'
        await server.system._tasks.ask(Sweep())
        assert metric in (await server.get("/metrics")).raw.decode()
        server.clock.advance(days=1)
        await server.system._tasks.ask(Sweep())
        task = (await server.get(f"/api/task/{task_id}", user=member, headers={"Accept-Language": "en"})).data
        assert task["status"] == "failed"
        assert task["errorMessage"].startswith("No worker became available in time")
        assert await server.remaining(member) == 100
        assert metric not in (await server.get("/metrics")).raw.decode()


async def test_browsers_may_delete(server: LocalServer) -> None:
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "DELETE"}
    response = await server.call("OPTIONS", f"/api/task/{'0' * 32}", headers=headers)
    assert "DELETE" in response.headers["Access-Control-Allow-Methods"]


async def test_a_repeated_key_is_answered_after_its_task_and_picture_were_deleted(server: LocalServer) -> None:
    member = await server.new_member()
    body = {"type": "basic_clean", "inputImageUrl": await server.upload(member, shirt(200))}
    headers = {"Idempotency-Key": "kept"}
    created = (await server.post("/api/task/create", body, user=member, headers=headers)).data
    await server.wait_until_finished(member, created["taskId"])
    assert (await server.delete(f"/api/task/{created['taskId']}", user=member)).status == 200
    await server.system._tasks.ask(Purge())
    assert (await server.get(str(body["inputImageUrl"]))).refusal == (404, 4004)
    assert (await server.post("/api/task/create", body, user=member, headers=headers)).data == created
    assert (await server.post("/api/task/create", body, user=member)).refusal == (404, 4004)
    new_key = {"Idempotency-Key": "new"}
    for _ in range(2):
        assert (await server.post("/api/task/create", body, user=member, headers=new_key)).refusal == (404, 4004)
    assert await server.ledger(member) == [("grant", 100, 100), ("charge", -1, 99)]
