"""Idempotency-Key: one key, one task, one charge, whenever and however often it comes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.account_state import creation, holdings, placed
from tests.support.server import Answer, Edge, MovableClock, Person, running


async def create(edge: Edge, who: Person, body: object, key: str) -> Answer:
    return await edge.post("/api/task/create", body, who=who, headers={"Idempotency-Key": key})


async def test_the_same_key_gives_the_same_answer_and_one_charge(edge: Edge) -> None:
    member = await edge.member()
    body = creation(await placed(edge, member))
    first = await create(edge, member, body, "key")
    edge.clock.advance(seconds=90)
    await edge.create(member, await placed(edge, member))
    assert (await create(edge, member, body, "key")).data == first.data, "the balance and the time of then"
    after = await holdings(edge, member)
    assert (after.remaining, len(after.tasks)) == (98, 2)


async def test_twenty_at_once_are_one(edge: Edge) -> None:
    member = await edge.member()
    body = creation(await placed(edge, member))
    answers = await asyncio.gather(*(create(edge, member, body, "key") for _ in range(20)))
    assert {answer.raw for answer in answers} == {answers[0].raw}
    after = await holdings(edge, member)
    assert after.ledger == [("grant", 100, 100), ("charge", -1, 99)]
    assert after.tasks == [(answers[0].data["taskId"], "pending")]


async def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock, tasks={"workers": 0}) as edge:
        member = await edge.member()
        body = creation(await placed(edge, member))
        first = await create(edge, member, body, "key")
        port = int(edge.base.rpartition(":")[2])
    clock.advance(seconds=90)
    async with running(tmp_path, clock, port=port, tasks={"workers": 0}) as edge:
        assert (await create(edge, member, body, "key")).data == first.data
        assert (await create(edge, member, {**body, "params": {"template": "matting"}}, "key")).refusal == (422, 4022)
        after = await holdings(edge, member)
        assert after.ledger == [("grant", 100, 100), ("charge", -1, 99)]
        assert after.tasks == [(first.data["taskId"], "pending")]


async def test_the_same_wish_in_other_words_is_the_same(edge: Edge) -> None:
    """The default said aloud, a field nobody reads, and the same picture under an address signed later."""
    member = await edge.member()
    body = creation(await placed(edge, member))
    first = await create(edge, member, body, "key")
    task = (await edge.get(f"/api/task/{first.data['taskId']}", who=member)).data
    edge.clock.advance(seconds=60)
    signed_later = (await edge.get(f"/api/task/{task['id']}", who=member)).data["inputImageUrl"]
    assert signed_later != body["inputImageUrl"]
    for change in ({"params": {"template": "all"}}, {"note": "again"}, {"inputImageUrl": signed_later}):
        again = await create(edge, member, {**body, **change}, "key")
        assert again.data == first.data
    assert await edge.remaining(member) == 99


@pytest.mark.parametrize(
    "change", [{"params": {"template": "matting"}}, {"params": {"template": "white_bg"}}, {"inputImageUrl": None}]
)
async def test_another_body_under_the_same_key_is_refused(edge: Edge, change: dict[str, object]) -> None:
    member = await edge.member()
    body = creation(await placed(edge, member))
    if "inputImageUrl" in change:
        change = {"inputImageUrl": await placed(edge, member)}
    assert (await create(edge, member, body, "key")).status == 200
    before = await holdings(edge, member)
    assert (await create(edge, member, {**body, **change}, "key")).refusal == (422, 4022)
    assert await holdings(edge, member) == before


async def test_other_bodies_at_once_are_one_task(edge: Edge) -> None:
    member = await edge.member()
    bodies = [creation(await placed(edge, member)) for _ in range(10)]
    answers = await asyncio.gather(*(create(edge, member, body, "key") for body in bodies))
    assert sorted(answer.status for answer in answers) == [200] + [422] * 9
    assert len((await holdings(edge, member)).tasks) == 1


async def test_the_order_of_the_fields_is_not_another_body(edge: Edge) -> None:
    member = await edge.member()
    body = creation(await placed(edge, member), params={"template": "matting"})
    first = await create(edge, member, body, "key")
    assert (await create(edge, member, dict(reversed(body.items())), "key")).data == first.data


async def test_a_refusal_is_kept_like_an_answer(edge: Edge) -> None:
    person = await edge.person()
    body = creation(await placed(edge, person))
    assert (await create(edge, person, body, "key")).refusal == (403, 1002)
    order = (await edge.post("/api/membership/purchase", {"channel": "wx"}, who=person)).data["orderId"]
    await edge.post("/sandbox/pay", {"orderId": order})
    assert (await create(edge, person, body, "key")).refusal == (403, 1002)
    assert (await create(edge, person, body, "another")).status == 200
    assert await edge.remaining(person) == 99


async def test_a_request_that_was_never_understood_spends_no_key(edge: Edge) -> None:
    member = await edge.member()
    place = (await edge.get("/api/media/sts", who=member)).data
    for wrong in ({}, creation("x"), creation(place["inputImageUrl"]), creation("x", type="model_pose12")):
        assert (await create(edge, member, wrong, "key")).status in (400, 404)
    assert (await create(edge, member, creation(await placed(edge, member)), "key")).status == 200


async def test_keys_of_two_people_are_two_keys(edge: Edge) -> None:
    one, two = await edge.member(), await edge.member()
    first = (await create(edge, one, creation(await placed(edge, one)), "key")).data
    second = (await create(edge, two, creation(await placed(edge, two)), "key")).data
    assert first["taskId"] != second["taskId"]
    assert [await edge.remaining(who) for who in (one, two)] == [99, 99]


@pytest.mark.parametrize("key", ["k" * 256, "", "é", "钥匙", "a\tb", "k" * 4000])
async def test_a_key_has_bounds(edge: Edge, key: str) -> None:
    member = await edge.member()
    body = creation(await placed(edge, member))
    before = await holdings(edge, member)
    assert (await create(edge, member, body, key)).refusal == (400, 4001)
    assert await holdings(edge, member) == before


@pytest.mark.parametrize("key", ["k" * 255, "a b", "'; DROP TABLE tasks; --", "~"])
async def test_any_printable_key_is_good(edge: Edge, key: str) -> None:
    member = await edge.member()
    body = creation(await placed(edge, member))
    answers = [await create(edge, member, body, key) for _ in range(2)]
    assert answers[0].data == answers[1].data
    assert await edge.remaining(member) == 99
