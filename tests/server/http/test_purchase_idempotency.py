"""Idempotency-Key on purchase: one key, one order, one answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.server import Answer, Edge, MovableClock, Person, running

PURCHASE = "/api/membership/purchase"
WX = {"channel": "wx"}


async def buy(edge: Edge, who: Person, body: object, key: str = "key") -> Answer:
    return await edge.post(PURCHASE, body, who=who, headers={"Idempotency-Key": key})


async def orders(edge: Edge, who: Person) -> list[str]:
    listed = (await edge.get("/api/membership/orders", who=who)).data["orders"]
    return [order["orderId"] for order in listed]


async def test_the_same_key_gives_the_same_answer_and_one_order(edge: Edge) -> None:
    person = await edge.person()
    first = await buy(edge, person, WX)
    edge.clock.advance(seconds=90)
    for again in (WX, {"channel": "wechat"}, {"channel": "wx", "autoRenew": False, "amount": 1}):
        assert (await buy(edge, person, again)).data == first.data, "signature and time of then"
    assert await orders(edge, person) == [first.data["orderId"]]


async def test_fifty_at_once_are_one(edge: Edge) -> None:
    person = await edge.person()
    answers = await asyncio.gather(*(buy(edge, person, WX) for _ in range(50)))
    assert {answer.raw for answer in answers} == {answers[0].raw}
    assert await orders(edge, person) == [answers[0].data["orderId"]]


async def test_a_paid_order_is_not_bought_again(edge: Edge) -> None:
    person = await edge.person()
    first = await buy(edge, person, WX)
    await edge.post("/sandbox/pay", {"orderId": first.data["orderId"]})
    edge.clock.advance(days=365)
    person = await edge.person(person.phone)
    assert (await buy(edge, person, WX)).data == first.data, "money is remembered for ever"
    assert len(await orders(edge, person)) == 1


async def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock) as edge:
        person = await edge.person()
        first = await buy(edge, person, WX)
    async with running(tmp_path, clock) as edge:
        assert (await buy(edge, person, WX)).data == first.data
        assert (await buy(edge, person, {"channel": "alipay"})).refusal == (422, 4022)
        assert await orders(edge, person) == [first.data["orderId"]]


async def test_another_body_under_the_same_key_is_refused(edge: Edge) -> None:
    person = await edge.person()
    first = (await buy(edge, person, WX)).data["orderId"]
    for other in ({"channel": "alipay"}, {**WX, "plan": "gold"}, {**WX, "autoRenew": True}):
        assert (await buy(edge, person, other)).refusal == (422, 4022)
    assert await orders(edge, person) == [first]


async def test_a_refusal_is_kept_like_an_answer_for_a_day(tmp_path: Path) -> None:
    clock, gold = MovableClock(), {**WX, "plan": "gold"}
    plan = {"id": "gold", "name": "Gold", "price": 1, "quota": 1, "days": 1}
    async with running(tmp_path, clock) as edge:
        person = await edge.person()
        refused = await buy(edge, person, gold)
        assert refused.refusal == (400, 5003)
    clock.advance(seconds=3600)
    async with running(tmp_path, clock, membership={"plans": [plan]}) as edge:
        again = await buy(edge, person, gold)
        assert again.content["error"]["message"] == refused.content["error"]["message"]
        assert (await buy(edge, person, WX)).refusal == (422, 4022)
        assert await orders(edge, person) == []
        assert (await buy(edge, person, gold, "another")).status == 200


async def test_keys_of_two_people_are_two_keys_and_a_task_has_its_own(edge: Edge) -> None:
    one, two = await edge.member(), await edge.person()
    answers = [await buy(edge, who, WX) for who in (one, two)]
    assert answers[0].data["orderId"] != answers[1].data["orderId"]
    key = {"Idempotency-Key": "key"}
    missing = {"type": "basic_clean", "inputImageUrl": "x"}
    assert (await edge.post("/api/task/create", missing, who=one, headers=key)).refusal == (400, 4001)


async def test_a_key_has_bounds(edge: Edge) -> None:
    person = await edge.person()
    for key in ("k" * 256, "", "é", "a\tb"):
        assert (await buy(edge, person, WX, key)).refusal == (400, 4001)
    assert await orders(edge, person) == []
