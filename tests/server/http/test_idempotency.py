"""The Idempotency-Key of a creation: one key makes one task and one charge, however often it is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.account_state import account_state
from tests.support.server import ApiResponse, ApiUser, LocalServer, ManualClock, running_server
from tests.support.uploads import store_picture, task_body


async def create(server: LocalServer, user: ApiUser, body: object, key: str) -> ApiResponse:
    return await server.post("/api/task/create", body, user=user, headers={"Idempotency-Key": key})


async def test_the_same_key_gives_the_same_response_and_one_charge(server: LocalServer) -> None:
    member = await server.new_member()
    body = task_body(await store_picture(server, member))
    first = await create(server, member, body, "key")
    server.clock.advance(seconds=90)
    await server.create_task(member, await store_picture(server, member))
    assert (await create(server, member, body, "key")).data == first.data, (
        "with the balance and the time of the first response"
    )
    after = await account_state(server, member)
    assert (after.remaining, len(after.tasks)) == (98, 2)


async def test_twenty_concurrent_creations_with_one_key_make_one_task(server: LocalServer) -> None:
    member = await server.new_member()
    body = task_body(await store_picture(server, member))
    responses = await asyncio.gather(*(create(server, member, body, "key") for _ in range(20)))
    assert {response.raw for response in responses} == {responses[0].raw}
    after = await account_state(server, member)
    assert after.ledger == [("grant", 100, 100), ("charge", -1, 99)]
    assert after.tasks == [(responses[0].data["taskId"], "pending")]


async def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
        member = await server.new_member()
        body = task_body(await store_picture(server, member))
        first = await create(server, member, body, "key")
        port = int(server.base.rpartition(":")[2])
    clock.advance(seconds=90)
    async with running_server(tmp_path, clock, port=port, tasks={"workers": 0}) as server:
        assert (await create(server, member, body, "key")).data == first.data
        assert (await create(server, member, {**body, "params": {"template": "matting"}}, "key")).refusal == (422, 4022)
        after = await account_state(server, member)
        assert after.ledger == [("grant", 100, 100), ("charge", -1, 99)]
        assert after.tasks == [(first.data["taskId"], "pending")]


async def test_an_equivalent_body_with_the_same_key_gets_the_same_response(server: LocalServer) -> None:
    """An explicit default, an ignored field, and the same picture with a newer signature change nothing."""
    member = await server.new_member()
    body = task_body(await store_picture(server, member))
    first = await create(server, member, body, "key")
    task = (await server.get(f"/api/task/{first.data['taskId']}", user=member)).data
    server.clock.advance(seconds=60)
    signed_later = (await server.get(f"/api/task/{task['id']}", user=member)).data["inputImageUrl"]
    assert signed_later != body["inputImageUrl"]
    for change in ({"params": {"template": "all"}}, {"note": "again"}, {"inputImageUrl": signed_later}):
        again = await create(server, member, {**body, **change}, "key")
        assert again.data == first.data
    assert await server.remaining(member) == 99


@pytest.mark.parametrize(
    "change", [{"params": {"template": "matting"}}, {"params": {"template": "white_bg"}}, {"inputImageUrl": None}]
)
async def test_a_different_body_with_the_same_key_is_refused(server: LocalServer, change: dict[str, object]) -> None:
    member = await server.new_member()
    body = task_body(await store_picture(server, member))
    if "inputImageUrl" in change:
        change = {"inputImageUrl": await store_picture(server, member)}
    assert (await create(server, member, body, "key")).status == 200
    before = await account_state(server, member)
    assert (await create(server, member, {**body, **change}, "key")).refusal == (422, 4022)
    assert await account_state(server, member) == before


async def test_concurrent_different_bodies_with_one_key_make_one_task(server: LocalServer) -> None:
    member = await server.new_member()
    bodies = [task_body(await store_picture(server, member)) for _ in range(10)]
    responses = await asyncio.gather(*(create(server, member, body, "key") for body in bodies))
    assert sorted(response.status for response in responses) == [200] + [422] * 9
    assert len((await account_state(server, member)).tasks) == 1


async def test_the_order_of_fields_does_not_matter_to_a_key(server: LocalServer) -> None:
    member = await server.new_member()
    body = task_body(await store_picture(server, member), params={"template": "matting"})
    first = await create(server, member, body, "key")
    assert (await create(server, member, dict(reversed(body.items())), "key")).data == first.data


async def test_a_refusal_is_repeated_for_its_key(server: LocalServer) -> None:
    user = await server.new_user()
    body = task_body(await store_picture(server, user))
    assert (await create(server, user, body, "key")).refusal == (403, 1002)
    order = (await server.post("/api/membership/purchase", {"channel": "wx"}, user=user)).data["orderId"]
    await server.post("/sandbox/pay", {"orderId": order})
    assert (await create(server, user, body, "key")).refusal == (403, 1002)
    assert (await create(server, user, body, "another")).status == 200
    assert await server.remaining(user) == 99


async def test_an_invalid_request_does_not_use_its_key(server: LocalServer) -> None:
    member = await server.new_member()
    place = (await server.get("/api/media/sts", user=member)).data
    for wrong in ({}, task_body("x"), task_body(place["inputImageUrl"]), task_body("x", type="model_pose12")):
        assert (await create(server, member, wrong, "key")).status in (400, 404)
    assert (await create(server, member, task_body(await store_picture(server, member)), "key")).status == 200


async def test_keys_are_separate_for_each_user(server: LocalServer) -> None:
    one, two = await server.new_member(), await server.new_member()
    first = (await create(server, one, task_body(await store_picture(server, one)), "key")).data
    second = (await create(server, two, task_body(await store_picture(server, two)), "key")).data
    assert first["taskId"] != second["taskId"]
    assert [await server.remaining(user) for user in (one, two)] == [99, 99]


@pytest.mark.parametrize("key", ["k" * 256, "", "é", "钥匙", "a\tb", "k" * 4000])
async def test_an_invalid_key_is_refused(server: LocalServer, key: str) -> None:
    member = await server.new_member()
    body = task_body(await store_picture(server, member))
    before = await account_state(server, member)
    assert (await create(server, member, body, key)).refusal == (400, 4001)
    assert await account_state(server, member) == before


@pytest.mark.parametrize("key", ["k" * 255, "a b", "'; DROP TABLE tasks; --", "~"])
async def test_any_printable_key_is_accepted(server: LocalServer, key: str) -> None:
    member = await server.new_member()
    body = task_body(await store_picture(server, member))
    responses = [await create(server, member, body, key) for _ in range(2)]
    assert responses[0].data == responses[1].data
    assert await server.remaining(member) == 99
