"""Task types: each is known to all layers, from its own declaration alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from actors.ports import PictureTemplate
from actors.task.attempt import Attempt, TaskRefused
from actors.task.registry import TASK_TYPES
from actors.task.task_type import FailureText, TaskParams, TaskType, TaskTypes, TypeLimits
from actors.task.types.basic_clean import BASIC_CLEAN
from tests.support.account_state import account_state
from tests.support.pictures import shirt
from tests.support.server import LocalServer, running_server
from tests.support.uploads import store_picture

ROOT = Path(__file__).parent.parent.parent.parent
CREATE = "/api/task/create"
_started = asyncio.Event()
_gate = asyncio.Event()


class StampParams(TaskParams):
    """The parameters of a type that exists in this test only."""

    word: Annotated[str, Field(min_length=1, max_length=8)]
    size: Annotated[int, Field(ge=1, le=10)] = 3
    corner: Literal["top", "bottom"] = "top"
    opacity: Annotated[float, Field(ge=0.25, le=0.75)] = 0.5


class StampLimits(TypeLimits):
    per_minute: int = 2


async def stamp(attempt: Attempt) -> list[str]:
    source = await attempt.fetch_input()
    await attempt.stage_done()
    if attempt.task.params["word"] == "bad":
        raise TaskRefused("bad_word")
    if attempt.task.params["word"] == "wait":
        _started.set()
        await _gate.wait()
    await attempt.stage_done()
    return await attempt.store(await attempt.workers.clean(source, attempt.folder, PictureTemplate.MATTING))


STAMP = TaskType(
    name="stamp",
    params=StampParams,
    stages=("fetch", "stamp", "store"),
    work=stamp,
    can_be_stopped=True,
    cost=3,
    limits=StampLimits,
    failures={"bad_word": FailureText("这个词不能使用", "This word cannot be used")},
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    _started.clear()
    _gate.clear()
    async with running_server(tmp_path, task_types=TaskTypes(BASIC_CLEAN, STAMP)) as server:
        yield server


def body(url: str, **params: object) -> dict[str, object]:
    return {"type": "stamp", "inputImageUrl": url, "params": params}


async def test_a_type_of_this_test_works_from_the_request_to_the_result(server: LocalServer) -> None:
    member = await server.new_member()
    url = await server.upload(member, shirt(200))
    created = (await server.post(CREATE, body(url, word="hello"), user=member)).data
    assert (created["type"], created["quota_remaining"]) == ("stamp", 97)
    task = await server.wait_until_finished(member, created["taskId"])
    assert (task["status"], task["params"]) == (
        "success",
        {"word": "hello", "size": 3, "corner": "top", "opacity": 0.5},
    )
    assert (await server.get(task["resultUrls"][0])).status == 200
    assert (await server.get("/api/task/list?type=stamp", user=member)).data["total"] == 1


async def test_the_types_are_public_with_parameters_cost_and_limits(server: LocalServer) -> None:
    types = {each["name"]: each for each in (await server.get("/api/task/types")).data}
    assert list(types) == ["basic_clean", "stamp"]
    described = types["stamp"]
    assert described["params"]["properties"]["size"] == {
        "default": 3,
        "maximum": 10,
        "minimum": 1,
        "title": "Size",
        "type": "integer",
    }
    assert described["params"]["required"] == ["word"]
    assert (described["cost"], described["canBeStopped"]) == (3, True)
    assert described["limits"] == {
        "perMinute": 2,
        "waitingHours": 24,
        "totalHours": 168,
        "attemptSeconds": 120,
        "attempts": 5,
    }
    assert types["basic_clean"]["limits"]["perMinute"] is None


@pytest.mark.parametrize(
    "params, problem",
    [
        ({}, "Invalid parameter params.word: this parameter is required"),
        ({"word": ""}, "Invalid parameter params.word: must have at least 1 characters"),
        ({"word": "x" * 9}, "Invalid parameter params.word: must have at most 8 characters"),
        ({"word": "a", "size": 11}, "Invalid parameter params.size: must be at most 10"),
        ({"word": "a", "size": "3"}, "Invalid parameter params.size: must be an integer"),
        ({"word": "a", "size": True}, "Invalid parameter params.size: must be an integer"),
        ({"word": "a", "corner": "left"}, "Invalid parameter params.corner: must be one of 'top' or 'bottom'"),
        ({"word": "a", "opacity": 1.5}, "Invalid parameter params.opacity: must be at most 0.75"),
        ({"word": "a", "opacity": "much"}, "Invalid parameter params.opacity: the format is invalid"),
        ({"word": "a", "colour": "red"}, "Invalid parameter params.colour: this parameter is not supported"),
    ],
)
async def test_wrong_parameters_are_refused_with_their_name_and_limit(
    server: LocalServer, params: dict[str, Any], problem: str
) -> None:
    member = await server.new_member()
    url = await store_picture(server, member)
    before = await account_state(server, member)
    response = await server.post(CREATE, body(url, **params), user=member, headers={"Accept-Language": "en"})
    assert (response.refusal, response.content["error"]["message"]) == ((400, 4001), problem)
    assert await account_state(server, member) == before


async def test_a_type_has_the_texts_of_its_own_failures(server: LocalServer) -> None:
    member = await server.new_member()
    url = await server.upload(member, shirt(200))
    created = (await server.post(CREATE, body(url, word="bad"), user=member)).data
    task = await server.wait_until_finished(member, created["taskId"])
    assert task["errorMessage"] == "这个词不能使用"
    english = await server.get(f"/api/task/{task['id']}", user=member, headers={"Accept-Language": "en"})
    assert english.data["errorMessage"] == "This word cannot be used"
    assert await server.remaining(member) == 100


async def test_a_type_limits_the_creations_of_each_user_in_any_minute(server: LocalServer) -> None:
    member, other = await server.new_member(), await server.new_member()
    url = await store_picture(server, member)
    for _ in range(2):
        assert (await server.post(CREATE, body(url, word="hello"), user=member)).status == 200
    before = await account_state(server, member)
    key = {"Idempotency-Key": "limited"}
    for headers in ({}, key, key):
        response = await server.post(CREATE, body(url, word="hello"), user=member, headers=headers)
        assert (response.refusal, response.headers["Retry-After"]) == ((429, 4029), "60")
    assert await account_state(server, member) == before
    assert (await server.create_task(member, url))["quota_remaining"] == 93, "the limit is that of one type"
    of_other = await store_picture(server, other)
    assert (await server.post(CREATE, body(of_other, word="hello"), user=other)).status == 200
    server.clock.advance(seconds=60)
    response = await server.post(CREATE, body(url, word="hello"), user=member, headers=key)
    assert response.status == 200, "the refusal was not stored under the key"


async def test_a_repeated_key_is_answered_although_the_limit_is_reached(server: LocalServer) -> None:
    member = await server.new_member()
    url = await store_picture(server, member)
    key = {"Idempotency-Key": "first"}
    first = await server.post(CREATE, body(url, word="hello"), user=member, headers=key)
    assert (await server.post(CREATE, body(url, word="hello"), user=member)).status == 200
    for _ in range(3):
        assert (await server.post(CREATE, body(url, word="hello"), user=member, headers=key)).data == first.data
    changed = await server.post(CREATE, body(url, word="other"), user=member, headers=key)
    assert changed.refusal == (422, 4022)


async def test_concurrent_creations_do_not_exceed_the_limit(server: LocalServer) -> None:
    member = await server.new_member()
    url = await store_picture(server, member)
    responses = await asyncio.gather(*(server.post(CREATE, body(url, word="x"), user=member) for _ in range(20)))
    assert sorted(response.status for response in responses) == [200] * 2 + [429] * 18


async def test_refused_creations_do_not_count_against_the_limit(server: LocalServer) -> None:
    user = await server.new_user()
    url = await store_picture(server, user)
    for _ in range(5):
        assert (await server.post(CREATE, body(url, word="x"), user=user)).refusal == (403, 1002)


async def test_a_running_task_of_a_type_that_can_be_stopped_is_cancelled(server: LocalServer) -> None:
    member = await server.new_member()
    url = await server.upload(member, shirt(200))
    task_id = (await server.post(CREATE, body(url, word="wait"), user=member)).data["taskId"]
    await _started.wait()
    assert (await server.get(f"/api/task/{task_id}", user=member)).data["progress"] == 33
    cancelled = (await server.post(f"/api/task/{task_id}/cancel", user=member)).data
    assert (cancelled["status"], cancelled["errorMessage"]) == ("failed", "任务已取消，次数已退回")
    assert await server.ledger(member) == [("grant", 100, 100), ("charge", -3, 97), ("refund", 3, 100)]


# --- the documents --------------------------------------------------------------------------------


def test_the_documents_and_config_toml_name_every_type() -> None:
    for name in TASK_TYPES:
        assert f"`{name}`" in (ROOT / "docs/api.md").read_text("utf-8")
        config = (ROOT / "config.toml").read_text("utf-8")
        assert f"[tasks.limits.{name}]" in config and re.search(rf"^{name} = \d", config, re.MULTILINE)


@pytest.fixture
def example() -> Iterator[ModuleType]:
    """The example type of docs/contributing.md, as a module."""
    text = (ROOT / "docs/contributing.md").read_text("utf-8")
    (source,) = re.findall(r"```python\n(\"\"\"`white_background`.*?)```", text, re.DOTALL)
    module = ModuleType("white_background")
    exec(compile(source, "docs/contributing.md", "exec"), module.__dict__)
    yield module


async def test_the_example_of_the_contributing_guide_works(tmp_path: Path, example: ModuleType) -> None:
    types = TaskTypes(BASIC_CLEAN, example.WHITE_BACKGROUND)
    async with running_server(tmp_path, task_types=types) as server:
        member = await server.new_member()
        request = {"type": "white_background", "inputImageUrl": await server.upload(member, shirt(200))}
        created = (await server.post(CREATE, request, user=member)).data
        task = await server.wait_until_finished(member, created["taskId"])
    assert task["status"] == "success"
    assert [url.partition("?")[0].rpartition("/")[2] for url in task["resultUrls"]] == ["white-bg.png"]
