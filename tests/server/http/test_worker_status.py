"""The status reports of external workers: signed, recent, and with one final state for each task."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from tests.support.account_state import account_state
from tests.support.server import SECRETS, ApiResponse, ApiUser, LocalServer
from tests.support.uploads import store_picture

RESULT = "https://pictures.example/white-bg.png"
SUCCESS = {"status": "success", "resultUrls": [RESULT]}


def signature(server: LocalServer, target: tuple[str, bytes], **other: Any) -> dict[str, str]:
    """Return the headers of a signed call for a path and body. `other` overrides parts of what is signed or sent."""
    timestamp = other.get("timestamp", str(server.clock.now() // 1000 + other.get("later", 0)))
    secret = other.get("secret", SECRETS["internal"]).encode()
    path, body = other.get("path", target[0]), other.get("body", target[1])
    correct = sign(secret, timestamp, other.get("method", "PUT"), path, body)
    return {TIMESTAMP: timestamp, SIGNATURE: other.get("signature", correct)}


async def report(server: LocalServer, task: str, content: object, **other: Any) -> ApiResponse:
    path, body = f"/api/task/{task}/status", json.dumps(content).encode()
    return await server.put(path, raw=body, headers=signature(server, (path, body), **other))


async def task_of(server: LocalServer) -> tuple[ApiUser, str]:
    member = await server.new_member()
    return member, (await server.create_task(member, await store_picture(server, member)))["taskId"]


async def test_a_worker_reports_progress_and_success(server: LocalServer) -> None:
    member, task = await task_of(server)
    assert (await report(server, task, {"status": "processing"})).content["message"] == "任务状态已更新"
    assert (await server.get(f"/api/task/{task}", user=member)).data["status"] == "processing"
    assert (await report(server, task, SUCCESS)).status == 200
    done = (await server.get(f"/api/task/{task}", user=member)).data
    assert (done["status"], done["resultUrls"], done["progress"]) == ("success", [RESULT], 100)
    assert await server.remaining(member) == 99


async def test_a_failure_is_refunded_once(server: LocalServer) -> None:
    member, task = await task_of(server)
    failed = {"status": "failed", "errorMessage": "the vendor refused the picture"}
    responses = await asyncio.gather(*(report(server, task, failed) for _ in range(20)))
    assert sorted(response.status for response in responses) == [200] + [409] * 19
    assert (await server.get(f"/api/task/{task}", user=member)).data["errorMessage"] == "the vendor refused the picture"
    assert await server.ledger(member) == [("grant", 100, 100), ("charge", -1, 99), ("refund", 1, 100)]


@pytest.mark.parametrize("first", ["success", "failed"])
async def test_a_final_state_never_changes(server: LocalServer, first: str) -> None:
    member, task = await task_of(server)
    assert (await report(server, task, {**SUCCESS, "status": first})).status == 200
    before = await account_state(server, member)
    for status in ("processing", "success", "failed"):
        response = await report(server, task, {**SUCCESS, "status": status})
        assert response.refusal == (409, 4009)
    assert await account_state(server, member) == before


async def test_of_concurrent_reports_of_success_and_failure_one_is_accepted(server: LocalServer) -> None:
    member, task = await task_of(server)
    states = ["success", "failed"] * 10
    responses = await asyncio.gather(*(report(server, task, {**SUCCESS, "status": state}) for state in states))
    assert sorted(response.status for response in responses) == [200] + [409] * 19
    final_status = (await server.get(f"/api/task/{task}", user=member)).data["status"]
    assert await server.remaining(member) == (100 if final_status == "failed" else 99)


async def test_a_report_without_a_valid_signature_changes_nothing(server: LocalServer) -> None:
    member, task = await task_of(server)
    before = await account_state(server, member)
    others: list[dict[str, Any]] = [
        *({"secret": "another secret"}, {"secret": ""}, {"secret": SECRETS["token"]}, {"secret": SECRETS["media"]}),
        *({"method": "POST"}, {"path": "/api/task/x/status"}, {"path": ""}, {"body": b"{}"}, {"body": b""}),
        *({"later": -300}, {"later": 300}, {"later": 10**9}, {"timestamp": ""}, {"timestamp": "soon"}),
        *({"timestamp": "１７９５４２０８００"}, {"timestamp": "-1"}, {"timestamp": "1e9"}, {"timestamp": "9" * 13}),
        *({"signature": ""}, {"signature": "0" * 64}, {"signature": "é"}, {"signature": "None"}),
    ]
    for other in others:
        response = await report(server, task, {"status": "failed"}, **other)
        assert response.refusal == (403, 4003), other
        assert await account_state(server, member) == before


@pytest.mark.parametrize("later", [-299, 0, 299])
async def test_a_signature_is_valid_for_five_minutes_in_both_directions(server: LocalServer, later: int) -> None:
    _, task = await task_of(server)
    assert (await report(server, task, SUCCESS, later=later)).status == 200


async def test_a_user_cannot_report_the_status_of_a_task(server: LocalServer) -> None:
    member, task = await task_of(server)
    bodies: list[object] = [{"status": "failed"}, SUCCESS, {}, []]
    for body in bodies:
        assert (await server.put(f"/api/task/{task}/status", body, user=member)).refusal == (403, 4003)
    assert await server.remaining(member) == 99


async def test_a_signature_is_valid_only_for_its_own_task(server: LocalServer) -> None:
    member, task = await task_of(server)
    other = (await server.create_task(member, await store_picture(server, member)))["taskId"]
    body = json.dumps({"status": "failed"}).encode()
    headers = signature(server, (f"/api/task/{task}/status", body))
    assert (await server.put(f"/api/task/{other}/status", raw=body, headers=headers)).refusal == (403, 4003)
    assert (await server.get(f"/api/task/{other}", user=member)).data["status"] == "pending"


@pytest.mark.parametrize("task", ["0" * 32, "list", "x"])
async def test_a_report_for_an_unknown_task_is_404(server: LocalServer, task: str) -> None:
    assert (await report(server, task, SUCCESS)).refusal == (404, 4004)


async def test_an_invalid_report_is_refused_and_changes_nothing(server: LocalServer) -> None:
    member, task = await task_of(server)
    wrong: list[object] = [{}, [], {"status": None}, {"status": "pending"}, {"status": "done"}, {"status": 1}]
    wrong += [
        {"status": "success"},
        {"status": "success", "resultUrls": []},
        {"status": "success", "resultUrls": RESULT},
    ]
    wrong += [{**SUCCESS, "errorMessage": message} for message in ("a\nb", "\ud800", "x" * 501, None, 5)]
    urls: tuple[object, ...] = (
        "",
        "x",
        "ftp://x",
        "javascript:x",
        "http://\n",
        "http://\ud800",
        "https://" + "x" * 2048,
        None,
        5,
        [],
    )
    wrong += [{"status": "success", "resultUrls": [RESULT, url]} for url in urls]
    wrong += [{"status": "success", "resultUrls": [RESULT] * 25}]
    before = await account_state(server, member)
    for content in wrong:
        assert (await report(server, task, content)).refusal == (400, 4001), content
    forged = {
        "status": "success",
        "resultUrls": [f"{server.base}/media/input/../../secrets.toml?expires=1&signature=x"],
    }
    assert (await report(server, task, forged)).refusal == (403, 4003)
    assert await account_state(server, member) == before


async def test_results_in_our_own_store_get_a_new_signed_address_at_each_read(server: LocalServer) -> None:
    member, task = await task_of(server)
    own = await store_picture(server, member)
    assert (await report(server, task, {"status": "success", "resultUrls": [own]})).status == 200
    server.clock.advance(seconds=3600)
    (url,) = (await server.get(f"/api/task/{task}", user=member)).data["resultUrls"]
    assert url != own
    assert ((await server.get(own)).refusal, (await server.get(url)).status) == ((403, 4003), 200)


async def test_a_worker_that_carries_its_attempt_reports_progress_and_keeps_the_task(server: LocalServer) -> None:
    member, task = await task_of(server)
    first = await report(server, task, {"status": "processing"})
    assert first.data == {"attempt": 1}
    for progress, shown in ((40, 40), (20, 40), (90, 90), (100, 99)):
        content = {"status": "processing", "attempt": 1, "progress": progress}
        assert (await report(server, task, content)).data == {"attempt": 1}
        assert (await server.get(f"/api/task/{task}", user=member)).data["progress"] == shown
    assert (await report(server, task, {**SUCCESS, "attempt": 1})).data == {"attempt": 1}
    assert (await server.get(f"/api/task/{task}", user=member)).data["progress"] == 100


async def test_a_report_with_an_outdated_attempt_is_refused_and_changes_nothing(server: LocalServer) -> None:
    member, task = await task_of(server)
    assert (await report(server, task, {"status": "processing"})).data == {"attempt": 1}
    assert (await report(server, task, {"status": "processing"})).data == {"attempt": 2}
    before = (await server.get(f"/api/task/{task}", user=member)).data
    for late in ({"status": "processing", "progress": 80}, SUCCESS, {"status": "failed"}):
        for attempt in (1, 3):
            assert (await report(server, task, {**late, "attempt": attempt})).refusal == (409, 4009)
    after = (await server.get(f"/api/task/{task}", user=member)).data
    assert {**after, "inputImageUrl": ""} == {**before, "inputImageUrl": ""}
    assert await server.remaining(member) == 99
    assert (await report(server, task, {**SUCCESS, "attempt": 2})).status == 200


@pytest.mark.parametrize("field", ["attempt", "progress"])
async def test_invalid_numbers_in_a_report_are_refused(server: LocalServer, field: str) -> None:
    _, task = await task_of(server)
    values: list[object] = [-1, 1.5, "1", True, 2**64, 101 if field == "progress" else 0, [], {}]
    for value in values:
        content = {"status": "processing", field: value}
        assert (await report(server, task, content)).refusal == (400, 4001), value


async def test_a_worker_cannot_give_a_task_the_picture_of_another_user(server: LocalServer) -> None:
    member, task = await task_of(server)
    other = await server.new_member()
    place = (await server.get(f"/api/media/sts?taskId={member.id}", user=other)).data  # a folder with the member's id
    before = await account_state(server, member)
    for foreign in (await store_picture(server, other), place["inputImageUrl"]):
        assert (await report(server, task, {"status": "success", "resultUrls": [foreign]})).refusal == (403, 4003)
    assert await account_state(server, member) == before
