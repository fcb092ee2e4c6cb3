"""A payment credits once however often and however late it is told, and also when nobody tells."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from actors.ports import PaymentState
from tests.server.sandbox.notifications import assert_granted_once, assert_pending, books, buyer, notify, signed
from tests.support.account_state import account_state
from tests.support.server import LocalServer, ManualClock, running_server


async def test_a_hundred_duplicates_over_restarts_are_one_grant(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
        who = await buyer(server)
        notices = [signed(server, who.paid, later=random.Random(n).randrange(-200, 200)) for n in range(100)]
    for start in (0, 50):
        async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
            answers = await asyncio.gather(*(notify(server, notice) for notice in notices[start : start + 50]))
            assert {(answer.status, answer.raw) for answer in answers} == {(200, b'{"code":"SUCCESS"}')}
            await assert_granted_once(server, who)


async def test_the_same_notification_again_is_acknowledged_and_credits_nothing(server: LocalServer) -> None:
    who = await buyer(server)
    notice = signed(server, who.paid)
    assert [(await notify(server, notice)).status for _ in range(3)] == [200, 200, 200]
    await assert_granted_once(server, who)


async def test_a_second_payment_of_one_order_is_set_aside(server: LocalServer) -> None:
    who = await buyer(server)
    notices = [signed(server, who.paid, transaction_id=f"t{n}") for n in range(10)]
    answers = await asyncio.gather(*(notify(server, notice) for notice in notices))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    await assert_granted_once(server, who)


async def test_one_transaction_pays_one_order(server: LocalServer) -> None:
    first = await buyer(server)
    others = [await buyer(server, person=first.person) for _ in range(4)] + [await buyer(server)]
    notices = [signed(server, who.paid, transaction_id="same") for who in (first, *others)]
    answers = await asyncio.gather(*(notify(server, notice) for notice in notices))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    paid = [await who.status(server) for who in (first, *others)].count("paid")
    assert (paid, await server.remaining(first.person) + await server.remaining(others[-1].person)) == (1, 100)


@pytest.mark.parametrize("state", [PaymentState.CLOSED, PaymentState.FAILED])
async def test_what_ended_without_payment_is_credited_no_more(server: LocalServer, state: PaymentState) -> None:
    who = await buyer(server)
    assert (await notify(server, signed(server, who.paid, state=state, transaction_id=""))).status == 200
    assert await who.status(server) == state.value
    assert (await notify(server, signed(server, who.paid))).refusal == (409, 4009)
    assert (await who.status(server), await server.ledger(who.person)) == (state.value, [])


async def test_a_paid_order_is_not_closed_by_a_late_word(server: LocalServer) -> None:
    who = await buyer(server)
    await notify(server, signed(server, who.paid))
    for state in (PaymentState.UNPAID, PaymentState.CLOSED, PaymentState.FAILED):
        await notify(server, signed(server, who.paid, state=state))
    await assert_granted_once(server, who)


@pytest.mark.parametrize("late", [False, True])
async def test_without_a_notification_asking_for_the_order_grants_it(server: LocalServer, late: bool) -> None:
    who = await buyer(server)
    await assert_pending(server, who)
    await books(server).pay(who.order, server.clock.now())
    server.clock.advance(seconds=3600 if late else 0)
    path = f"/api/membership/orders/{who.order}"
    answers: list[Any] = await asyncio.gather(*(server.get(path, user=who.person) for _ in range(10)))
    assert {answer.data["status"] for answer in answers} == {"paid"}
    await assert_granted_once(server, who)
    order = answers[0].data
    assert order["transactionId"].startswith("sandbox") and order["paidAt"] is not None


async def test_asking_for_an_order_that_was_not_paid_grants_nothing(server: LocalServer) -> None:
    who = await buyer(server)
    path = f"/api/membership/orders/{who.order}"
    assert (await server.get(path, user=who.person)).data["status"] == "pending"
    server.clock.advance(seconds=30 * 60)
    assert (await server.get(path, user=who.person)).data["status"] == "closed"
    paid = (await server.post("/sandbox/pay", {"orderId": who.order})).data
    assert paid == {"orderId": who.order, "state": "closed", "notified": False}
    assert (await notify(server, signed(server, who.paid))).refusal == (409, 4009)
    after = await account_state(server, who.person)
    assert (after.remaining, after.ledger, after.orders) == (0, [], [(who.order, "closed")])


async def test_a_book_with_another_amount_is_not_believed(server: LocalServer) -> None:
    who = await buyer(server)
    path = server.data / "sandbox" / "trades" / f"{who.order}.json"
    path.write_text(path.read_text().replace("9900", "1"))
    await books(server).pay(who.order, server.clock.now())
    assert (await server.get(f"/api/membership/orders/{who.order}", user=who.person)).data["status"] == "pending"
    await assert_pending(server, who)
