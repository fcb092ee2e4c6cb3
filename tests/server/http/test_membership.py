"""Plans, purchases, orders, and the start and end of a membership."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.account_state import AccountState, account_state
from tests.support.server import ApiUser, LocalServer, running_server
from tests.support.uploads import store_picture, task_body

PURCHASE = "/api/membership/purchase"
NOT_STRINGS: tuple[object, ...] = (5, 1.5, True, [], ["wx"], {})
EMPTY_ACCOUNT = AccountState(0, [], [], [])


def plan(**overrides: object) -> dict[str, object]:
    return {"id": "monthly", "name": "Monthly", "price": 9900, "quota": 100, "days": 30, **overrides}


async def buy(server: LocalServer, user: ApiUser, **fields: object) -> str:
    order = (await server.post(PURCHASE, {"channel": "wx", **fields}, user=user)).data["orderId"]
    assert (await server.post("/sandbox/pay", {"orderId": order})).data["notified"] is True
    return str(order)


@pytest.fixture
async def no_rollover(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server whose plan expires the remaining quota at an early renewal."""
    async with running_server(
        tmp_path / "lapsing", tasks={"workers": 0}, membership={"plans": [plan(rollover=False)]}
    ) as server:
        yield server


async def test_the_plans_are_public(server: LocalServer) -> None:
    monthly = {"id": "monthly", "name": "月度会员", "price": 9900, "quota": 100, "days": 30}
    assert (await server.get("/api/membership/plans")).data == [monthly]


async def test_an_unknown_channel_is_refused_and_creates_no_order(server: LocalServer) -> None:
    user = await server.new_user()
    names = ("", "WX", "Alipay", "paypal", "wx\n", " wx", "wx\x00", "ｗｘ", "\ud800", "{0}", "w" * 60_000)
    for channel in (*names, None, *NOT_STRINGS):
        assert (await server.post(PURCHASE, {"channel": channel}, user=user)).refusal == (400, 5003), repr(channel)
    assert (await server.post(PURCHASE, {}, user=user)).refusal == (400, 5003)
    assert await account_state(server, user) == EMPTY_ACCOUNT


async def test_an_unknown_plan_is_refused_and_creates_no_order(server: LocalServer) -> None:
    user = await server.new_user()
    for name in ("gold", "Monthly", "monthly\n", "monthly ", "\ud800", "{known}", "' --", "m" * 60_000, *NOT_STRINGS):
        response = await server.post(PURCHASE, {"channel": "wx", "plan": name}, user=user)
        assert response.refusal == (400, 5003), repr(name)
    assert await account_state(server, user) == EMPTY_ACCOUNT


@pytest.mark.parametrize("renew", [None, 0, 1, "true", "", [], {}])
async def test_auto_renew_must_be_a_boolean(server: LocalServer, renew: object) -> None:
    user = await server.new_user()
    response = await server.post(PURCHASE, {"channel": "wx", "autoRenew": renew}, user=user)
    assert response.refusal == (400, 4001)
    assert await account_state(server, user) == EMPTY_ACCOUNT


@pytest.mark.parametrize("name, channel", [("wx", "wx"), ("wechat", "wx"), ("alipay", "alipay")])
async def test_each_channel_returns_its_own_pay_parameters(server: LocalServer, name: str, channel: str) -> None:
    user = await server.new_user()
    order = (await server.post(PURCHASE, {"channel": name, "plan": "monthly"}, user=user)).data
    assert (order["channel"], order["amount"], order["expireAt"]) == (channel, 9900, "2026-11-23T08:30:00.000Z")
    if channel == "wx":
        assert set(order["payParams"]) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
        assert (order["payParams"]["signType"], order["payParams"]["package"][:10]) == ("RSA", "prepay_id=")
    else:
        assert parse_qs(order["payParams"]["orderString"])["total_amount"] == ["99.00"]
    cashier = await server.get(order["qrcodeUrl"])
    assert (cashier.status, b"99.00" in cashier.raw) == (200, True)


async def test_amounts_and_owners_in_a_purchase_are_ignored(server: LocalServer) -> None:
    victim, user = await server.new_user(), await server.new_user()
    forged = {"amount": 1, "price": 1, "quota": 9999, "days": 9999, "userId": victim.id, "status": "paid"}
    order = (await server.post(PURCHASE, {"channel": "wx", **forged}, user=user)).data
    assert order["amount"] == 9900
    (listed,) = (await server.get("/api/membership/orders", user=user)).data["orders"]
    terms = (listed["amount"], listed["quota"], listed["days"], listed["status"])
    assert terms == (9900, 100, 30, "pending")
    assert await account_state(server, victim) == EMPTY_ACCOUNT


async def test_the_order_of_another_user_is_404(server: LocalServer) -> None:
    owner, other = await server.new_user(), await server.new_user()
    paid_order = await buy(server, owner)
    pending = (await server.post(PURCHASE, {"channel": "wx"}, user=owner)).data["orderId"]
    for order in (paid_order, pending, paid_order.upper(), "0" * 32, "x", "%00", "..%2f..", "%ff", "' --", "1" * 5000):
        response = await server.get(f"/api/membership/orders/{order}", user=other)
        assert response.refusal == (404, 5002), order
    assert (await server.get(f"/api/membership/orders/{paid_order}", user=owner)).data["status"] == "paid"
    assert (await server.get("/api/membership/orders", user=other)).data == {
        **{"orders": [], "total": 0},
        **{"limit": 10, "offset": 0},
    }


async def test_orders_are_listed_newest_first_in_pages(server: LocalServer) -> None:
    user = await server.new_user()
    created = [(await server.post(PURCHASE, {"channel": "wx"}, user=user)).data["orderId"] for _ in range(5)]
    order_ids: list[str] = []
    for offset in (0, 2, 4, 6):
        page = (await server.get(f"/api/membership/orders?limit=2&offset={offset}", user=user)).data
        assert (page["total"], page["limit"], page["offset"]) == (5, 2, offset)
        order_ids += [order["orderId"] for order in page["orders"]]
    assert order_ids == created[::-1]


async def test_a_purchase_that_is_refused_under_load_leaves_no_order(server: LocalServer) -> None:
    user = await server.new_user()
    responses = await asyncio.gather(*(server.post(PURCHASE, {"channel": "wx"}, user=user) for _ in range(100)))
    refused = [response for response in responses if response.status != 200]
    assert {response.refusal for response in refused} <= {(503, 9003)}
    assert all(response.headers["Retry-After"] for response in refused)
    orders = (await server.get("/api/membership/orders", user=user)).data
    assert orders["total"] == 100 - len(refused)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=-1", "limit=1e9", "limit=٣", "offset=-1", "limit="])
async def test_an_invalid_page_of_orders_is_refused(server: LocalServer, query: str) -> None:
    user = await server.new_user()
    assert (await server.get(f"/api/membership/orders?{query}", user=user)).refusal == (400, 4001)


async def test_the_quota_expires_with_the_membership(server: LocalServer) -> None:
    member = await server.new_member()
    url = await store_picture(server, member)
    server.clock.advance(days=30, seconds=-1)
    member = await server.log_in(member.phone)  # the token has expired before the membership
    status = (await server.get("/api/membership/status", user=member)).data
    assert (status["isMember"], status["quota_remaining"], status["expireDays"]) == (True, 100, 1)
    server.clock.advance(seconds=1)
    status = (await server.get("/api/membership/status", user=member)).data
    assert (status["isMember"], status["quota_remaining"], status["quota_expireAt"]) == (False, 0, None)
    assert (status["expireDays"], status["plan"]) == (0, "monthly")
    assert (await server.post("/api/task/create", task_body(url), user=member)).refusal == (403, 1002)
    after = await account_state(server, member)
    assert (after.remaining, after.tasks) == (0, [])
    assert after.ledger == [("grant", 100, 100), ("expire", -100, 0)]


async def renewed_member(server: LocalServer) -> tuple[ApiUser, Any]:
    """A member who uses one generation and renews ten days before the end, with the status after that."""
    member = await server.new_member()
    await server.create_task(member, await store_picture(server, member))
    server.clock.advance(days=20)
    member = await server.log_in(member.phone)
    await buy(server, member, channel="alipay")
    return member, (await server.get("/api/membership/status", user=member)).data


async def test_an_early_renewal_adds_days_and_keeps_the_quota(server: LocalServer) -> None:
    member, status = await renewed_member(server)
    assert (status["quota_remaining"], status["expireDays"]) == (199, 40)
    assert await server.ledger(member) == [("grant", 100, 100), ("charge", -1, 99), ("grant", 100, 199)]


async def test_without_rollover_an_early_renewal_expires_the_old_quota(no_rollover: LocalServer) -> None:
    member, status = await renewed_member(no_rollover)
    assert (status["quota_remaining"], status["expireDays"]) == (100, 40)
    entries = [("grant", 100, 100), ("charge", -1, 99), ("expire", -99, 0), ("grant", 100, 100)]
    assert await no_rollover.ledger(member) == entries


async def test_a_renewal_after_the_end_starts_a_new_membership(server: LocalServer) -> None:
    member = await server.new_member()
    server.clock.advance(days=45)
    member = await server.log_in(member.phone)
    await buy(server, member)
    status = (await server.get("/api/membership/status", user=member)).data
    assert (status["quota_remaining"], status["expireDays"]) == (100, 30)
    assert await server.ledger(member) == [("grant", 100, 100), ("expire", -100, 0), ("grant", 100, 100)]


async def test_the_token_of_a_user_who_no_longer_exists_is_404(tmp_path: Path) -> None:
    """An older backup has the same secrets, but not the users that came later."""
    async with running_server(tmp_path / "data"):
        pass
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    async with running_server(tmp_path / "data") as server:
        user = await server.new_user()
    async with running_server(tmp_path / "backup") as server:
        assert (await server.get("/api/auth/me", user=user)).refusal == (404, 1004)
        assert (await server.post("/api/membership/purchase", {"channel": "wx"}, user=user)).refusal == (404, 1004)
        assert await server.remaining(user) == 0
