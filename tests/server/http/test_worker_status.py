"""The call by which the operator's own workers report: signed, fresh, and each final state once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from tests.support.account_state import account_state, store_picture
from tests.support.server import SECRETS, ApiResponse, LocalServer, User

RESULT = "https://pictures.example/white-bg.png"
SUCCESS = {"status": "success", "resultUrls": [RESULT]}


def signature(server: LocalServer, right: tuple[str, bytes], **other: Any) -> dict[str, str]:
    """The headers of a rightly signed call for a path and body; `other` says in what it differs."""
    timestamp = other.get("timestamp", str(server.clock.now() // 1000 + other.get("later", 0)))
    secret = other.get("secret", SECRETS["internal"]).encode()
    path, body = other.get("path", right[0]), other.get("body", right[1])
    made = sign(secret, timestamp, other.get("method", "PUT"), path, body)
    return {TIMESTAMP: timestamp, SIGNATURE: other.get("signature", made)}


async def report(server: LocalServer, task: str, content: object, **other: Any) -> ApiResponse:
    path, body = f"/api/task/{task}/status", json.dumps(content).encode()
    return await server.put(path, raw=body, headers=signature(server, (path, body), **other))


async def task_of(server: LocalServer) -> tuple[User, str]:
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
    failed = {"status": "failed", "errorMessage": "the vendor said no"}
    answers = await asyncio.gather(*(report(server, task, failed) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 19
    assert (await server.get(f"/api/task/{task}", user=member)).data["errorMessage"] == "the vendor said no"
    assert await server.ledger(member) == [("grant", 100, 100), ("charge", -1, 99), ("refund", 1, 100)]


@pytest.mark.parametrize("first", ["success", "failed"])
async def test_a_final_state_never_changes(server: LocalServer, first: str) -> None:
    member, task = await task_of(server)
    assert (await report(server, task, {**SUCCESS, "status": first})).status == 200
    before = await account_state(server, member)
    for status in ("processing", "success", "failed"):
        answer = await report(server, task, {**SUCCESS, "status": status})
        assert answer.refusal == (409, 4009)
    assert await account_state(server, member) == before


async def test_success_and_failure_at_once_are_one(server: LocalServer) -> None:
    member, task = await task_of(server)
    states = ["success", "failed"] * 10
    answers = await asyncio.gather(*(report(server, task, {**SUCCESS, "status": state}) for state in states))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 19
    won = (await server.get(f"/api/task/{task}", user=member)).data["status"]
    assert await server.remaining(member) == (100 if won == "failed" else 99)


@pytest.mark.parametrize(
    "other",
    [
        *({"secret": "another secret"}, {"secret": ""}, {"secret": SECRETS["token"]}, {"secret": SECRETS["media"]}),
        *({"method": "POST"}, {"path": "/api/task/x/status"}, {"path": ""}, {"body": b"{}"}, {"body": b""}),
        *({"later": -300}, {"later": 300}, {"later": 10**9}, {"timestamp": ""}, {"timestamp": "soon"}),
        *({"timestamp": "１７９５４２０８００"}, {"timestamp": "-1"}, {"timestamp": "1e9"}, {"timestamp": "9" * 13}),
        *({"signature": ""}, {"signature": "0" * 64}, {"signature": "é"}, {"signature": "None"}),
    ],
    ids=str,
)
async def test_without_the_right_signature_nothing_changes(server: LocalServer, other: dict[str, Any]) -> None:
    member, task = await task_of(server)
    before = await account_state(server, member)
    answer = await report(server, task, {"status": "failed"}, **other)
    assert answer.refusal == (403, 4003)
    assert await account_state(server, member) == before


@pytest.mark.parametrize("later", [-299, 0, 299])
async def test_five_minutes_either_way_are_fresh(server: LocalServer, later: int) -> None:
    _, task = await task_of(server)
    assert (await report(server, task, SUCCESS, later=later)).status == 200


async def test_a_person_cannot_report_on_their_own_task(server: LocalServer) -> None:
    member, task = await task_of(server)
    bodies: list[object] = [{"status": "failed"}, SUCCESS, {}, []]
    for body in bodies:
        assert (await server.put(f"/api/task/{task}/status", body, user=member)).refusal == (403, 4003)
    assert await server.remaining(member) == 99


async def test_a_signature_for_one_task_is_none_for_another(server: LocalServer) -> None:
    member, task = await task_of(server)
    other = (await server.create_task(member, await store_picture(server, member)))["taskId"]
    body = json.dumps({"status": "failed"}).encode()
    headers = signature(server, (f"/api/task/{task}/status", body))
    assert (await server.put(f"/api/task/{other}/status", raw=body, headers=headers)).refusal == (403, 4003)
    assert (await server.get(f"/api/task/{other}", user=member)).data["status"] == "pending"


@pytest.mark.parametrize("task", ["0" * 32, "list", "x"])
async def test_a_task_that_is_none_is_not_found(server: LocalServer, task: str) -> None:
    assert (await report(server, task, SUCCESS)).refusal == (404, 4004)


async def test_what_a_worker_says_is_checked_like_anything_else(server: LocalServer) -> None:
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


async def test_our_own_addresses_are_kept_as_keys_and_signed_afresh(server: LocalServer) -> None:
    member, task = await task_of(server)
    own = await store_picture(server, member)
    assert (await report(server, task, {"status": "success", "resultUrls": [own]})).status == 200
    server.clock.advance(seconds=3600)
    (url,) = (await server.get(f"/api/task/{task}", user=member)).data["resultUrls"]
    assert url != own
    assert ((await server.get(own)).refusal, (await server.get(url)).status) == ((403, 4003), 200)
