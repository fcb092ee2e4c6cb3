"""Idempotency-Key on purchase: one key, one order, one answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.server import ApiResponse, LocalServer, ManualClock, User, running_server

PURCHASE = "/api/membership/purchase"
WX = {"channel": "wx"}


async def buy(server: LocalServer, user: User, body: object, key: str = "key") -> ApiResponse:
    return await server.post(PURCHASE, body, user=user, headers={"Idempotency-Key": key})


async def orders(server: LocalServer, user: User) -> list[str]:
    listed = (await server.get("/api/membership/orders", user=user)).data["orders"]
    return [order["orderId"] for order in listed]


async def test_the_same_key_gives_the_same_answer_and_one_order(server: LocalServer) -> None:
    person = await server.new_user()
    first = await buy(server, person, WX)
    server.clock.advance(seconds=90)
    for again in (WX, {"channel": "wechat"}, {"channel": "wx", "autoRenew": False, "amount": 1}):
        assert (await buy(server, person, again)).data == first.data, "signature and time of then"
    assert await orders(server, person) == [first.data["orderId"]]


async def test_fifty_at_once_are_one(server: LocalServer) -> None:
    person = await server.new_user()
    answers = await asyncio.gather(*(buy(server, person, WX) for _ in range(50)))
    assert {answer.raw for answer in answers} == {answers[0].raw}
    assert await orders(server, person) == [answers[0].data["orderId"]]


async def test_a_paid_order_is_not_bought_again(server: LocalServer) -> None:
    person = await server.new_user()
    first = await buy(server, person, WX)
    await server.post("/sandbox/pay", {"orderId": first.data["orderId"]})
    server.clock.advance(days=365)
    person = await server.new_user(person.phone)
    assert (await buy(server, person, WX)).data == first.data, "money is remembered for ever"
    assert len(await orders(server, person)) == 1


async def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        person = await server.new_user()
        first = await buy(server, person, WX)
    async with running_server(tmp_path, clock) as server:
        assert (await buy(server, person, WX)).data == first.data
        assert (await buy(server, person, {"channel": "alipay"})).refusal == (422, 4022)
        assert await orders(server, person) == [first.data["orderId"]]


async def test_another_body_under_the_same_key_is_refused(server: LocalServer) -> None:
    person = await server.new_user()
    first = (await buy(server, person, WX)).data["orderId"]
    for other in ({"channel": "alipay"}, {**WX, "plan": "gold"}, {**WX, "autoRenew": True}):
        assert (await buy(server, person, other)).refusal == (422, 4022)
    assert await orders(server, person) == [first]


async def test_a_refusal_is_kept_like_an_answer_for_a_day(tmp_path: Path) -> None:
    clock, gold = ManualClock(), {**WX, "plan": "gold"}
    plan = {"id": "gold", "name": "Gold", "price": 1, "quota": 1, "days": 1}
    async with running_server(tmp_path, clock) as server:
        person = await server.new_user()
        refused = await buy(server, person, gold)
        assert refused.refusal == (400, 5003)
    clock.advance(seconds=3600)
    async with running_server(tmp_path, clock, membership={"plans": [plan]}) as server:
        again = await buy(server, person, gold)
        assert again.content["error"]["message"] == refused.content["error"]["message"]
        assert (await buy(server, person, WX)).refusal == (422, 4022)
        assert await orders(server, person) == []
        assert (await buy(server, person, gold, "another")).status == 200


async def test_keys_of_two_people_are_two_keys_and_a_task_has_its_own(server: LocalServer) -> None:
    one, two = await server.new_member(), await server.new_user()
    answers = [await buy(server, user, WX) for user in (one, two)]
    assert answers[0].data["orderId"] != answers[1].data["orderId"]
    key = {"Idempotency-Key": "key"}
    missing = {"type": "basic_clean", "inputImageUrl": "x"}
    assert (await server.post("/api/task/create", missing, user=one, headers=key)).refusal == (400, 4001)


async def test_a_key_has_bounds(server: LocalServer) -> None:
    person = await server.new_user()
    for key in ("k" * 256, "", "é", "a\tb"):
        assert (await buy(server, person, WX, key)).refusal == (400, 4001)
    assert await orders(server, person) == []
