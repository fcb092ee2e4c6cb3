"""Reconciliation: what a gateway knows is learnt even if it never tells. Over the sandbox gateway's real books."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from actors.errors import OrderEnded, ServiceUnavailable, UnknownPlan
from actors.idempotency import IdempotencyKey
from actors.membership.actor import RECONCILE_BATCH, ListOrders, Membership, Purchase, Reconcile
from actors.membership.plans import Plan
from actors.membership.settings import MembershipSettings
from actors.ports import Channel, Invoice, PaymentRequest
from actors.quota.actor import GetBalance, Quota
from actors.retention import Purge
from server.sandbox.gateway import SandboxGateway
from server.sandbox.trades import Trades
from storage.auth import users
from storage.auth.users import User
from storage.engine.database import Database
from storage.membership.orders import OrderStatus
from tests.support.invariants import audit_and_close
from tests.support.server import ManualClock

G = TypeVar("G", bound=SandboxGateway)
MONTHLY = Plan(id="monthly", name="Monthly", price=9900, quota=100, days=30)


@dataclass(frozen=True, slots=True)
class Shop:
    db: Database
    clock: ManualClock
    quota: Quota
    membership: Membership
    trades: Trades
    books: Path

    async def order(self) -> str:
        return (await self.membership.ask(Purchase("u", "wx", None, False))).order.id

    async def statuses(self) -> dict[str, OrderStatus]:
        page = await self.membership.ask(ListOrders("u", 100, 0))
        return {order.id: order.status for order in page.orders}

    async def reconciled(self, until: OrderStatus, *orders: str) -> None:
        """Reconcile until these orders have that status."""
        async with asyncio.timeout(30):
            while {(await self.statuses())[order] for order in orders} != {until}:
                await self.membership.ask(Reconcile())

    async def remaining(self) -> int:
        return (await self.quota.ask(GetBalance("u"))).remaining


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened(tmp_path, SandboxGateway) as (shop, _):
        yield shop


@pytest.fixture
async def moody_shop(tmp_path: Path) -> AsyncIterator[tuple[Shop, Moody]]:
    async with opened(tmp_path, Moody) as (shop, gateway):
        yield shop, gateway


@asynccontextmanager
async def opened(folder: Path, kind: type[G]) -> AsyncIterator[tuple[Shop, G]]:
    db, clock, trades = await Database.open(folder / "data"), ManualClock(), Trades(folder / "trades")
    await db.write(lambda connection: users.add(connection, User("u", "u", 0)))
    quota = Quota(db, clock)
    gateway = kind(Channel.WX, trades, "http://127.0.0.1", b"secret", clock)
    membership = Membership(db, clock, quota, {"wx": gateway}, MembershipSettings(plans=[MONTHLY]))
    quota.start()
    membership.start()
    yield Shop(db, clock, quota, membership, trades, folder / "trades"), gateway
    await membership.stop()
    await quota.stop()
    await audit_and_close(db)


async def test_a_payment_nobody_told_about_is_found_and_credited_once(shop: Shop) -> None:
    order = await shop.order()
    await shop.trades.pay(order, shop.clock.now())
    await shop.reconciled(OrderStatus.PAID, order)
    await shop.membership.ask(Reconcile())
    assert await shop.remaining() == 100


async def test_an_order_that_ran_out_is_closed_at_the_gateway_first(shop: Shop) -> None:
    order = await shop.order()
    shop.clock.advance(seconds=30 * 60)
    await shop.reconciled(OrderStatus.CLOSED, order)
    trade = await shop.trades.pay(order, 0)
    assert trade.state == "closed", "whoever still has the QR code cannot pay any more"


async def test_an_order_that_was_paid_at_the_last_moment_is_not_closed(shop: Shop) -> None:
    order = await shop.order()
    await shop.trades.pay(order, shop.clock.now())
    shop.clock.advance(seconds=30 * 60)
    await shop.reconciled(OrderStatus.PAID, order)
    assert await shop.remaining() == 100


async def test_an_order_the_gateway_never_heard_of_is_closed(shop: Shop) -> None:
    order = await shop.order()
    (shop.books / f"{order}.json").unlink()
    shop.clock.advance(seconds=30 * 60)
    await shop.reconciled(OrderStatus.CLOSED, order)


async def test_an_order_that_cannot_be_asked_about_does_not_hold_up_the_others(shop: Shop) -> None:
    broken, paid = await shop.order(), await shop.order()
    (shop.books / f"{broken}.json").write_text("")
    await shop.trades.pay(paid, shop.clock.now())
    await shop.reconciled(OrderStatus.PAID, paid)
    assert (await shop.statuses())[broken] is OrderStatus.PENDING


async def test_more_orders_than_a_batch_are_all_asked_about(shop: Shop) -> None:
    orders = [await shop.order() for _ in range(RECONCILE_BATCH + 5)]
    await shop.trades.pay(orders[-1], shop.clock.now())
    await shop.reconciled(OrderStatus.PAID, orders[-1])


KEY = IdempotencyKey("key", b"digest")
KEYED = Purchase("u", "wx", None, False, KEY)


class Moody(SandboxGateway):
    """A gateway that cannot be reached when `moody`."""

    moody = True

    async def prepare(self, invoice: Invoice) -> PaymentRequest:
        if self.moody:
            raise ServiceUnavailable(service="payment", retry_after=1)
        return await super().prepare(invoice)


async def test_a_key_whose_gateway_was_away_gets_its_one_order_later(moody_shop: tuple[Shop, Moody]) -> None:
    shop, gateway = moody_shop
    with pytest.raises(ServiceUnavailable):
        await shop.membership.ask(KEYED)
    gateway.moody = False
    bought = await shop.membership.ask(KEYED)
    assert await shop.statuses() == {bought.order.id: OrderStatus.PENDING}
    assert await shop.membership.ask(KEYED) == bought


async def test_a_key_whose_order_ran_out_before_it_could_be_paid_says_so(moody_shop: tuple[Shop, Moody]) -> None:
    shop, gateway = moody_shop
    with pytest.raises(ServiceUnavailable):
        await shop.membership.ask(KEYED)
    (order,) = await shop.statuses()
    shop.clock.advance(seconds=30 * 60)
    await shop.reconciled(OrderStatus.CLOSED, order)
    gateway.moody = False
    with pytest.raises(OrderEnded):
        await shop.membership.ask(KEYED)


async def test_refusals_are_forgotten_after_a_day_and_orders_never(shop: Shop) -> None:
    start, bought = shop.clock.time, await shop.membership.ask(KEYED)
    gold = Purchase("u", "wx", "gold", False, IdempotencyKey("gold", b"gold"))
    with pytest.raises(UnknownPlan):
        await shop.membership.ask(gold)
    for hours, kept in ((24, 2), (25, 1)):
        shop.clock.time = start + hours * 3_600_000
        await shop.membership.ask(Purge())
        assert await shop.db.read(lambda c: c.execute("SELECT COUNT(*) FROM order_keys").fetchone()) == (kept,)
    assert await shop.membership.ask(KEYED) == bought
