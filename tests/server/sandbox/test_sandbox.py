"""The sandbox's API calls, which do not exist in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.sandbox.notifications import create_buyer, notify, sign
from tests.support.server import ApiUser, LocalServer, ManualClock, running_server
from tests.support.uploads import store_picture, task_body

CALLS = [
    *(("GET", "/sandbox/sms?phone=13800138000"), ("POST", "/sandbox/pay"), ("GET", "/sandbox/cashier/" + "0" * 32)),
    *(
        ("POST", "/sandbox/cashier/" + "0" * 32),
        ("GET", "/sandbox"),
        ("GET", "/sandbox/clock"),
        ("POST", "/sandbox/clock"),
        ("PUT", "/sandbox/faults"),
    ),
]


@pytest.fixture
async def production(tmp_path: Path) -> AsyncIterator[tuple[LocalServer, ApiUser]]:
    """A production server on the data folder of a development server, and a member from that folder."""
    clock = ManualClock()
    async with running_server(tmp_path / "data", clock, tasks={"workers": 0}) as server:
        user = await server.new_member()
    async with running_server(tmp_path / "data", clock, mode="production", tasks={"workers": 0}) as server:
        yield server, user


@pytest.mark.parametrize("method, path", CALLS)
async def test_production_has_no_sandbox(production: tuple[LocalServer, ApiUser], method: str, path: str) -> None:
    server, user = production
    assert (await server.call(method, path, {"orderId": "0" * 32}, user=user)).refusal == (404, 404)


async def test_production_without_gateways_creates_no_order_and_credits_nothing(
    production: tuple[LocalServer, ApiUser],
) -> None:
    server, user = production
    for channel in ("wx", "wechat", "alipay"):
        answer = await server.post("/api/membership/purchase", {"channel": channel}, user=user)
        assert answer.refusal == (400, 5003)
    (order,) = (await server.get("/api/membership/orders", user=user)).data["orders"]
    assert (await server.post("/api/membership/payment-callback", {"orderId": order["orderId"]})).refusal == (401, 5004)
    assert (await server.post("/api/membership/payment-callback/wx", {})).refusal == (400, 5003)
    assert await server.ledger(user) == [("grant", 100, 100)]


async def test_production_refuses_a_notification_of_the_sandbox(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
        buyer = await create_buyer(server)
        notification = sign(server, buyer.paid)
    async with running_server(tmp_path, clock, mode="production", tasks={"workers": 0}) as server:
        assert (await notify(server, notification, "")).refusal == (401, 5004)
        assert (await notify(server, notification, "/wx")).refusal == (400, 5003)
        assert (await server.get(f"/api/membership/orders/{buyer.order}", user=buyer.user)).data["status"] == "pending"
        assert await server.ledger(buyer.user) == []


async def test_production_reports_an_unreachable_sms_provider(production: tuple[LocalServer, ApiUser]) -> None:
    server, _ = production
    answer = await server.post("/api/auth/send-code", {"phone": "13800138000"})
    assert answer.refusal == (503, 9003)
    assert int(answer.headers["Retry-After"]) > 0
    assert not (server.data / "sandbox" / "sms" / "13800138000.json").exists()


async def test_a_quota_bought_in_development_can_be_used_in_production(production: tuple[LocalServer, ApiUser]) -> None:
    server, user = production
    body = task_body(await store_picture(server, user))
    assert (await server.post("/api/task/create", body, user=user)).data["quota_remaining"] == 99


async def test_a_failed_sms_counts_against_the_limit(tmp_path: Path) -> None:
    async with running_server(tmp_path, mode="production", tasks={"workers": 0}) as server:
        answers = [await server.post("/api/auth/send-code", {"phone": "13800138000"}) for _ in range(6)]
    assert [answer.refusal for answer in answers] == [(503, 9003)] * 5 + [(429, 2004)]


@pytest.mark.parametrize(
    "order", [None, 5, "", "x", "0" * 32, "../../secrets", "\ud800", "a\nb", "o" * 60_000, ["x"], {}]
)
async def test_the_cashier_accepts_known_orders_only(server: LocalServer, order: object) -> None:
    answer = await server.post("/sandbox/pay", {"orderId": order})
    assert answer.refusal in ((404, 5002), (400, 4001))
    assert not (server.data / "sandbox" / "trades").exists()


@pytest.mark.parametrize("order", ["0" * 32, "x", "%2e%2e%2fsms", "..%5c", "%00", "%ff", "A" * 5000])
async def test_the_cashier_page_exists_for_known_orders_only(server: LocalServer, order: str) -> None:
    for method in ("GET", "POST"):
        assert (await server.call(method, f"/sandbox/cashier/{order}")).refusal == (404, 5002)


@pytest.mark.parametrize(
    "phone", ["", "1380013800", "../../secrets", "%2e%2e", "%00", "１３８００１３８０００", "%ED%A0%80"]
)
async def test_the_inbox_accepts_valid_phones_only(server: LocalServer, phone: str) -> None:
    assert (await server.get(f"/sandbox/sms?phone={phone}")).refusal == (400, 2000)


async def test_paying_many_times_at_once_pays_once(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    page = f"/sandbox/cashier/{buyer.order}"
    payments = [server.post(page) for _ in range(10)] + [
        server.post("/sandbox/pay", {"orderId": buyer.order}) for _ in range(10)
    ]
    answers = await asyncio.gather(*payments)
    assert {answer.status for answer in answers} == {200, 303}
    assert await server.ledger(buyer.user) == [("grant", 100, 100)]
    english = await server.get(page, headers={"Accept-Language": "en"})
    assert b"Paid" in english.raw and "支付成功".encode() in (await server.get(page)).raw
