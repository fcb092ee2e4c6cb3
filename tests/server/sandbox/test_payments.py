"""A payment credits once however often and however late it is told, and also when nobody tells."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from actors.ports import PaymentState
from tests.server.sandbox.notifications import assert_granted_once, assert_pending, books, buyer, notify, signed
from tests.support.account_state import holdings
from tests.support.server import Edge, MovableClock, running


async def test_a_hundred_duplicates_over_restarts_are_one_grant(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock, tasks={"workers": 0}) as edge:
        who = await buyer(edge)
        notices = [signed(edge, who.paid, later=random.Random(n).randrange(-200, 200)) for n in range(100)]
    for start in (0, 50):
        async with running(tmp_path, clock, tasks={"workers": 0}) as edge:
            answers = await asyncio.gather(*(notify(edge, notice) for notice in notices[start : start + 50]))
            assert {(answer.status, answer.raw) for answer in answers} == {(200, b'{"code":"SUCCESS"}')}
            await assert_granted_once(edge, who)


async def test_the_same_notification_again_is_acknowledged_and_credits_nothing(edge: Edge) -> None:
    who = await buyer(edge)
    notice = signed(edge, who.paid)
    assert [(await notify(edge, notice)).status for _ in range(3)] == [200, 200, 200]
    await assert_granted_once(edge, who)


async def test_a_second_payment_of_one_order_is_set_aside(edge: Edge) -> None:
    who = await buyer(edge)
    notices = [signed(edge, who.paid, transaction_id=f"t{n}") for n in range(10)]
    answers = await asyncio.gather(*(notify(edge, notice) for notice in notices))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    await assert_granted_once(edge, who)


async def test_one_transaction_pays_one_order(edge: Edge) -> None:
    first = await buyer(edge)
    others = [await buyer(edge, person=first.person) for _ in range(4)] + [await buyer(edge)]
    notices = [signed(edge, who.paid, transaction_id="same") for who in (first, *others)]
    answers = await asyncio.gather(*(notify(edge, notice) for notice in notices))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    paid = [await who.status(edge) for who in (first, *others)].count("paid")
    assert (paid, await edge.remaining(first.person) + await edge.remaining(others[-1].person)) == (1, 100)


@pytest.mark.parametrize("state", [PaymentState.CLOSED, PaymentState.FAILED])
async def test_what_ended_without_payment_is_credited_no_more(edge: Edge, state: PaymentState) -> None:
    who = await buyer(edge)
    assert (await notify(edge, signed(edge, who.paid, state=state, transaction_id=""))).status == 200
    assert await who.status(edge) == state.value
    assert (await notify(edge, signed(edge, who.paid))).refusal == (409, 4009)
    assert (await who.status(edge), await edge.ledger(who.person)) == (state.value, [])


async def test_a_paid_order_is_not_closed_by_a_late_word(edge: Edge) -> None:
    who = await buyer(edge)
    await notify(edge, signed(edge, who.paid))
    for state in (PaymentState.UNPAID, PaymentState.CLOSED, PaymentState.FAILED):
        await notify(edge, signed(edge, who.paid, state=state))
    await assert_granted_once(edge, who)


@pytest.mark.parametrize("late", [False, True])
async def test_without_a_notification_asking_for_the_order_grants_it(edge: Edge, late: bool) -> None:
    who = await buyer(edge)
    await assert_pending(edge, who)
    await books(edge).pay(who.order, edge.clock.now())
    edge.clock.advance(seconds=3600 if late else 0)
    path = f"/api/membership/orders/{who.order}"
    answers: list[Any] = await asyncio.gather(*(edge.get(path, who=who.person) for _ in range(10)))
    assert {answer.data["status"] for answer in answers} == {"paid"}
    await assert_granted_once(edge, who)
    order = answers[0].data
    assert order["transactionId"].startswith("sandbox") and order["paidAt"] is not None


async def test_asking_for_an_order_that_was_not_paid_grants_nothing(edge: Edge) -> None:
    who = await buyer(edge)
    path = f"/api/membership/orders/{who.order}"
    assert (await edge.get(path, who=who.person)).data["status"] == "pending"
    edge.clock.advance(seconds=30 * 60)
    assert (await edge.get(path, who=who.person)).data["status"] == "closed"
    paid = (await edge.post("/sandbox/pay", {"orderId": who.order})).data
    assert paid == {"orderId": who.order, "state": "closed", "notified": False}
    assert (await notify(edge, signed(edge, who.paid))).refusal == (409, 4009)
    after = await holdings(edge, who.person)
    assert (after.remaining, after.ledger, after.orders) == (0, [], [(who.order, "closed")])


async def test_a_book_with_another_amount_is_not_believed(edge: Edge) -> None:
    who = await buyer(edge)
    path = edge.data / "sandbox" / "trades" / f"{who.order}.json"
    path.write_text(path.read_text().replace("9900", "1"))
    await books(edge).pay(who.order, edge.clock.now())
    assert (await edge.get(f"/api/membership/orders/{who.order}", who=who.person)).data["status"] == "pending"
    await assert_pending(edge, who)
