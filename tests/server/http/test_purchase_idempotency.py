"""The Idempotency-Key of a purchase: one key makes one order and one response."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.server import ApiResponse, ApiUser, LocalServer, ManualClock, running_server

PURCHASE = "/api/membership/purchase"
WX = {"channel": "wx"}


async def buy(server: LocalServer, user: ApiUser, body: object, key: str = "key") -> ApiResponse:
    return await server.post(PURCHASE, body, user=user, headers={"Idempotency-Key": key})


async def orders(server: LocalServer, user: ApiUser) -> list[str]:
    listed = (await server.get("/api/membership/orders", user=user)).data["orders"]
    return [order["orderId"] for order in listed]


async def test_the_same_key_gives_the_same_response_and_one_order(server: LocalServer) -> None:
    user = await server.new_user()
    first = await buy(server, user, WX)
    server.clock.advance(seconds=90)
    for body in (WX, {"channel": "wechat"}, {"channel": "wx", "autoRenew": False, "amount": 1}):
        assert (await buy(server, user, body)).data == first.data, (
            "with the signature and the time of the first response"
        )
    assert await orders(server, user) == [first.data["orderId"]]


async def test_fifty_concurrent_purchases_with_one_key_make_one_order(server: LocalServer) -> None:
    user = await server.new_user()
    responses = await asyncio.gather(*(buy(server, user, WX) for _ in range(50)))
    assert {response.raw for response in responses} == {responses[0].raw}
    assert await orders(server, user) == [responses[0].data["orderId"]]


async def test_the_key_of_a_paid_order_never_buys_again(server: LocalServer) -> None:
    user = await server.new_user()
    first = await buy(server, user, WX)
    await server.post("/sandbox/pay", {"orderId": first.data["orderId"]})
    server.clock.advance(days=365)
    user = await server.log_in(user.phone)
    assert (await buy(server, user, WX)).data == first.data, "the key of a paid order is kept forever"
    assert len(await orders(server, user)) == 1


async def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        user = await server.new_user()
        first = await buy(server, user, WX)
    async with running_server(tmp_path, clock) as server:
        assert (await buy(server, user, WX)).data == first.data
        assert (await buy(server, user, {"channel": "alipay"})).refusal == (422, 4022)
        assert await orders(server, user) == [first.data["orderId"]]


async def test_a_different_body_with_the_same_key_is_refused(server: LocalServer) -> None:
    user = await server.new_user()
    first = (await buy(server, user, WX)).data["orderId"]
    for other in ({"channel": "alipay"}, {**WX, "plan": "gold"}, {**WX, "autoRenew": True}):
        assert (await buy(server, user, other)).refusal == (422, 4022)
    assert await orders(server, user) == [first]


async def test_a_refusal_is_repeated_for_its_key_for_a_day(tmp_path: Path) -> None:
    clock, gold = ManualClock(), {**WX, "plan": "gold"}
    plan = {"id": "gold", "name": "Gold", "price": 1, "quota": 1, "days": 1}
    async with running_server(tmp_path, clock) as server:
        user = await server.new_user()
        refused = await buy(server, user, gold)
        assert refused.refusal == (400, 5003)
    clock.advance(seconds=3600)
    async with running_server(tmp_path, clock, membership={"plans": [plan]}) as server:
        body = await buy(server, user, gold)
        assert body.content["error"]["message"] == refused.content["error"]["message"]
        assert (await buy(server, user, WX)).refusal == (422, 4022)
        assert await orders(server, user) == []
        assert (await buy(server, user, gold, "another")).status == 200


async def test_keys_are_separate_for_each_user_and_for_purchases_and_tasks(server: LocalServer) -> None:
    one, two = await server.new_member(), await server.new_user()
    responses = [await buy(server, user, WX) for user in (one, two)]
    assert responses[0].data["orderId"] != responses[1].data["orderId"]
    key = {"Idempotency-Key": "key"}
    missing = {"type": "basic_clean", "inputImageUrl": "x"}
    assert (await server.post("/api/task/create", missing, user=one, headers=key)).refusal == (400, 4001)


async def test_an_invalid_key_is_refused(server: LocalServer) -> None:
    user = await server.new_user()
    for key in ("k" * 256, "", "é", "a\tb"):
        assert (await buy(server, user, WX, key)).refusal == (400, 4001)
    assert await orders(server, user) == []
