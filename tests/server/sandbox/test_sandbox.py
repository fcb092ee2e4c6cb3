"""The sandbox's own calls, and that production has none of them and nothing behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.sandbox.notifications import buyer, notify, signed
from tests.support.account_state import creation, placed
from tests.support.server import Edge, MovableClock, Person, running

CALLS = [
    *(("GET", "/sandbox/sms?phone=13800138000"), ("POST", "/sandbox/pay"), ("GET", "/sandbox/cashier/" + "0" * 32)),
    *(
        ("POST", "/sandbox/cashier/" + "0" * 32),
        ("GET", "/sandbox"),
        ("GET", "/sandbox/clock"),
        ("PUT", "/sandbox/faults"),
    ),
]


@pytest.fixture
async def production(tmp_path: Path) -> AsyncIterator[tuple[Edge, Person]]:
    """Production on the data folder of a development server, and somebody who is known there."""
    clock = MovableClock()
    async with running(tmp_path / "data", clock, tasks={"workers": 0}) as edge:
        person = await edge.member()
    async with running(tmp_path / "data", clock, mode="production", tasks={"workers": 0}) as edge:
        yield edge, person


@pytest.mark.parametrize("method, path", CALLS)
async def test_production_has_no_sandbox(production: tuple[Edge, Person], method: str, path: str) -> None:
    edge, person = production
    assert (await edge.call(method, path, {"orderId": "0" * 32}, who=person)).refusal == (404, 404)


async def test_production_without_gateways_sells_and_credits_nothing(production: tuple[Edge, Person]) -> None:
    edge, person = production
    for channel in ("wx", "wechat", "alipay"):
        answer = await edge.post("/api/membership/purchase", {"channel": channel}, who=person)
        assert answer.refusal == (400, 5003)
    (order,) = (await edge.get("/api/membership/orders", who=person)).data["orders"]
    assert (await edge.post("/api/membership/payment-callback", {"orderId": order["orderId"]})).refusal == (401, 5004)
    assert (await edge.post("/api/membership/payment-callback/wx", {})).refusal == (400, 5003)
    assert await edge.ledger(person) == [("grant", 100, 100)]


async def test_a_sandbox_notification_means_nothing_in_production(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock, tasks={"workers": 0}) as edge:
        who = await buyer(edge)
        notice = signed(edge, who.paid)
    async with running(tmp_path, clock, mode="production", tasks={"workers": 0}) as edge:
        assert (await notify(edge, notice, "")).refusal == (401, 5004)
        assert (await notify(edge, notice, "/wx")).refusal == (400, 5003)
        assert (await edge.get(f"/api/membership/orders/{who.order}", who=who.person)).data["status"] == "pending"
        assert await edge.ledger(who.person) == []


async def test_production_whose_sms_sender_cannot_be_reached_says_so(production: tuple[Edge, Person]) -> None:
    edge, _ = production
    answer = await edge.post("/api/auth/send-code", {"phone": "13800138000"})
    assert answer.refusal == (503, 9003)
    assert int(answer.headers["Retry-After"]) > 0
    assert not (edge.data / "sandbox" / "sms" / "13800138000.json").exists()


async def test_production_does_its_work_with_what_was_bought(production: tuple[Edge, Person]) -> None:
    edge, person = production
    body = creation(await placed(edge, person))
    assert (await edge.post("/api/task/create", body, who=person)).data["quota_remaining"] == 99


async def test_a_failed_sms_counts_against_the_limit(tmp_path: Path) -> None:
    async with running(tmp_path, mode="production", tasks={"workers": 0}) as edge:
        answers = [await edge.post("/api/auth/send-code", {"phone": "13800138000"}) for _ in range(6)]
    assert [answer.refusal for answer in answers] == [(503, 9003)] * 5 + [(429, 2004)]


@pytest.mark.parametrize(
    "order", [None, 5, "", "x", "0" * 32, "../../secrets", "\ud800", "a\nb", "o" * 60_000, ["x"], {}]
)
async def test_the_cashier_takes_known_orders_only(edge: Edge, order: object) -> None:
    answer = await edge.post("/sandbox/pay", {"orderId": order})
    assert answer.refusal in ((404, 5002), (400, 4001))
    assert not (edge.data / "sandbox" / "trades").exists()


@pytest.mark.parametrize("order", ["0" * 32, "x", "%2e%2e%2fsms", "..%5c", "%00", "%ff", "A" * 5000])
async def test_the_cashiers_page_is_for_known_orders_only(edge: Edge, order: str) -> None:
    for method in ("GET", "POST"):
        assert (await edge.call(method, f"/sandbox/cashier/{order}")).refusal == (404, 5002)


@pytest.mark.parametrize(
    "phone", ["", "1380013800", "../../secrets", "%2e%2e", "%00", "１３８００１３８０００", "%ED%A0%80"]
)
async def test_the_inbox_is_for_phones_only(edge: Edge, phone: str) -> None:
    assert (await edge.get(f"/sandbox/sms?phone={phone}")).refusal == (400, 2000)


async def test_pressing_pay_many_times_pays_once(edge: Edge) -> None:
    who = await buyer(edge)
    page = f"/sandbox/cashier/{who.order}"
    presses = [edge.post(page) for _ in range(10)] + [
        edge.post("/sandbox/pay", {"orderId": who.order}) for _ in range(10)
    ]
    answers = await asyncio.gather(*presses)
    assert {answer.status for answer in answers} == {200, 303}
    assert await edge.ledger(who.person) == [("grant", 100, 100)]
    english = await edge.get(page, headers={"Accept-Language": "en"})
    assert b"Paid" in english.raw and "支付成功".encode() in (await edge.get(page)).raw
