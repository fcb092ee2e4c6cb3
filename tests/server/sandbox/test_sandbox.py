"""The sandbox's own calls, and that production has none of them and nothing behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.sandbox.notifications import buyer, notify, signed
from tests.support.account_state import store_picture, task_body
from tests.support.server import LocalServer, ManualClock, User, running_server

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
async def production(tmp_path: Path) -> AsyncIterator[tuple[LocalServer, User]]:
    """Production on the data folder of a development server, and somebody who is known there."""
    clock = ManualClock()
    async with running_server(tmp_path / "data", clock, tasks={"workers": 0}) as server:
        person = await server.new_member()
    async with running_server(tmp_path / "data", clock, mode="production", tasks={"workers": 0}) as server:
        yield server, person


@pytest.mark.parametrize("method, path", CALLS)
async def test_production_has_no_sandbox(production: tuple[LocalServer, User], method: str, path: str) -> None:
    server, person = production
    assert (await server.call(method, path, {"orderId": "0" * 32}, user=person)).refusal == (404, 404)


async def test_production_without_gateways_sells_and_credits_nothing(production: tuple[LocalServer, User]) -> None:
    server, person = production
    for channel in ("wx", "wechat", "alipay"):
        answer = await server.post("/api/membership/purchase", {"channel": channel}, user=person)
        assert answer.refusal == (400, 5003)
    (order,) = (await server.get("/api/membership/orders", user=person)).data["orders"]
    assert (await server.post("/api/membership/payment-callback", {"orderId": order["orderId"]})).refusal == (401, 5004)
    assert (await server.post("/api/membership/payment-callback/wx", {})).refusal == (400, 5003)
    assert await server.ledger(person) == [("grant", 100, 100)]


async def test_a_sandbox_notification_means_nothing_in_production(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
        who = await buyer(server)
        notice = signed(server, who.paid)
    async with running_server(tmp_path, clock, mode="production", tasks={"workers": 0}) as server:
        assert (await notify(server, notice, "")).refusal == (401, 5004)
        assert (await notify(server, notice, "/wx")).refusal == (400, 5003)
        assert (await server.get(f"/api/membership/orders/{who.order}", user=who.person)).data["status"] == "pending"
        assert await server.ledger(who.person) == []


async def test_production_whose_sms_sender_cannot_be_reached_says_so(production: tuple[LocalServer, User]) -> None:
    server, _ = production
    answer = await server.post("/api/auth/send-code", {"phone": "13800138000"})
    assert answer.refusal == (503, 9003)
    assert int(answer.headers["Retry-After"]) > 0
    assert not (server.data / "sandbox" / "sms" / "13800138000.json").exists()


async def test_production_does_its_work_with_what_was_bought(production: tuple[LocalServer, User]) -> None:
    server, person = production
    body = task_body(await store_picture(server, person))
    assert (await server.post("/api/task/create", body, user=person)).data["quota_remaining"] == 99


async def test_a_failed_sms_counts_against_the_limit(tmp_path: Path) -> None:
    async with running_server(tmp_path, mode="production", tasks={"workers": 0}) as server:
        answers = [await server.post("/api/auth/send-code", {"phone": "13800138000"}) for _ in range(6)]
    assert [answer.refusal for answer in answers] == [(503, 9003)] * 5 + [(429, 2004)]


@pytest.mark.parametrize(
    "order", [None, 5, "", "x", "0" * 32, "../../secrets", "\ud800", "a\nb", "o" * 60_000, ["x"], {}]
)
async def test_the_cashier_takes_known_orders_only(server: LocalServer, order: object) -> None:
    answer = await server.post("/sandbox/pay", {"orderId": order})
    assert answer.refusal in ((404, 5002), (400, 4001))
    assert not (server.data / "sandbox" / "trades").exists()


@pytest.mark.parametrize("order", ["0" * 32, "x", "%2e%2e%2fsms", "..%5c", "%00", "%ff", "A" * 5000])
async def test_the_cashiers_page_is_for_known_orders_only(server: LocalServer, order: str) -> None:
    for method in ("GET", "POST"):
        assert (await server.call(method, f"/sandbox/cashier/{order}")).refusal == (404, 5002)


@pytest.mark.parametrize(
    "phone", ["", "1380013800", "../../secrets", "%2e%2e", "%00", "１３８００１３８０００", "%ED%A0%80"]
)
async def test_the_inbox_is_for_phones_only(server: LocalServer, phone: str) -> None:
    assert (await server.get(f"/sandbox/sms?phone={phone}")).refusal == (400, 2000)


async def test_pressing_pay_many_times_pays_once(server: LocalServer) -> None:
    who = await buyer(server)
    page = f"/sandbox/cashier/{who.order}"
    presses = [server.post(page) for _ in range(10)] + [
        server.post("/sandbox/pay", {"orderId": who.order}) for _ in range(10)
    ]
    answers = await asyncio.gather(*presses)
    assert {answer.status for answer in answers} == {200, 303}
    assert await server.ledger(who.person) == [("grant", 100, 100)]
    english = await server.get(page, headers={"Accept-Language": "en"})
    assert b"Paid" in english.raw and "支付成功".encode() in (await server.get(page)).raw
