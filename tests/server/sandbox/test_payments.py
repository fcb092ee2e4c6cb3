"""A payment is credited once, no matter how often, how late, or whether at all its notification arrives."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from actors.ports import PaymentState
from tests.server.sandbox.notifications import assert_granted_once, assert_pending, create_buyer, notify, sign, trades
from tests.support.account_state import account_state
from tests.support.server import LocalServer, ManualClock, running_server


async def test_a_hundred_duplicates_across_restarts_grant_once(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
        buyer = await create_buyer(server)
        notifications = [sign(server, buyer.paid, later=random.Random(n).randrange(-200, 200)) for n in range(100)]
    for start in (0, 50):
        async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
            answers = await asyncio.gather(
                *(notify(server, notification) for notification in notifications[start : start + 50])
            )
            assert {(answer.status, answer.raw) for answer in answers} == {(200, b'{"code":"SUCCESS"}')}
            await assert_granted_once(server, buyer)


async def test_a_repeated_notification_is_acknowledged_and_credits_nothing(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    notification = sign(server, buyer.paid)
    assert [(await notify(server, notification)).status for _ in range(3)] == [200, 200, 200]
    await assert_granted_once(server, buyer)


async def test_a_second_payment_of_an_order_is_refused(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    notifications = [sign(server, buyer.paid, transaction_id=f"t{n}") for n in range(10)]
    answers = await asyncio.gather(*(notify(server, notification) for notification in notifications))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    await assert_granted_once(server, buyer)


async def test_one_transaction_pays_one_order(server: LocalServer) -> None:
    first = await create_buyer(server)
    others = [await create_buyer(server, user=first.user) for _ in range(4)] + [await create_buyer(server)]
    notifications = [sign(server, buyer.paid, transaction_id="same") for buyer in (first, *others)]
    answers = await asyncio.gather(*(notify(server, notification) for notification in notifications))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    paid = [await buyer.status(server) for buyer in (first, *others)].count("paid")
    assert (paid, await server.remaining(first.user) + await server.remaining(others[-1].user)) == (1, 100)


@pytest.mark.parametrize("state", [PaymentState.CLOSED, PaymentState.FAILED])
async def test_an_order_that_ended_without_payment_is_not_credited_later(
    server: LocalServer, state: PaymentState
) -> None:
    buyer = await create_buyer(server)
    assert (await notify(server, sign(server, buyer.paid, state=state, transaction_id=""))).status == 200
    assert await buyer.status(server) == state.value
    assert (await notify(server, sign(server, buyer.paid))).refusal == (409, 4009)
    assert (await buyer.status(server), await server.ledger(buyer.user)) == (state.value, [])


async def test_a_late_notification_does_not_close_a_paid_order(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    await notify(server, sign(server, buyer.paid))
    for state in (PaymentState.UNPAID, PaymentState.CLOSED, PaymentState.FAILED):
        await notify(server, sign(server, buyer.paid, state=state))
    await assert_granted_once(server, buyer)


@pytest.mark.parametrize("late", [False, True])
async def test_a_query_of_a_paid_order_grants_it_without_a_notification(server: LocalServer, late: bool) -> None:
    buyer = await create_buyer(server)
    await assert_pending(server, buyer)
    await trades(server).pay(buyer.order, server.clock.now())
    server.clock.advance(seconds=3600 if late else 0)
    path = f"/api/membership/orders/{buyer.order}"
    answers: list[Any] = await asyncio.gather(*(server.get(path, user=buyer.user) for _ in range(10)))
    assert {answer.data["status"] for answer in answers} == {"paid"}
    await assert_granted_once(server, buyer)
    order = answers[0].data
    assert order["transactionId"].startswith("sandbox") and order["paidAt"] is not None


async def test_a_query_of_an_unpaid_order_grants_nothing(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    path = f"/api/membership/orders/{buyer.order}"
    assert (await server.get(path, user=buyer.user)).data["status"] == "pending"
    server.clock.advance(seconds=30 * 60)
    assert (await server.get(path, user=buyer.user)).data["status"] == "closed"
    paid = (await server.post("/sandbox/pay", {"orderId": buyer.order})).data
    assert paid == {"orderId": buyer.order, "state": "closed", "notified": False}
    assert (await notify(server, sign(server, buyer.paid))).refusal == (409, 4009)
    after = await account_state(server, buyer.user)
    assert (after.remaining, after.ledger, after.orders) == (0, [], [(buyer.order, "closed")])


async def test_a_trade_with_a_wrong_amount_grants_nothing(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    path = server.data / "sandbox" / "trades" / f"{buyer.order}.json"
    path.write_text(path.read_text().replace("9900", "1"))
    await trades(server).pay(buyer.order, server.clock.now())
    assert (await server.get(f"/api/membership/orders/{buyer.order}", user=buyer.user)).data["status"] == "pending"
    await assert_pending(server, buyer)
