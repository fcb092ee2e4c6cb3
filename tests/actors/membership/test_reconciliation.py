"""Reconciliation: the gateways are asked about pending orders. The sandbox gateway with its real files is used."""

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
from actors.membership.actor import Membership
from actors.membership.messages import ListOrders, Purchase, Reconcile
from actors.membership.plans import Plan
from actors.membership.reconciliation import RECONCILE_BATCH
from actors.membership.settings import MembershipSettings
from actors.ports import Channel, Invoice, PaymentForm
from actors.quota.actor import Quota
from actors.quota.messages import GetBalance
from actors.retention import Purge
from actors.schedule import GetNextDue
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
class Environment:
    db: Database
    clock: ManualClock
    quota: Quota
    membership: Membership
    trades: Trades
    trade_files: Path

    async def place_order(self) -> str:
        return (await self.membership.ask(Purchase("u", "wx", None, False))).order.id

    async def statuses(self) -> dict[str, OrderStatus]:
        page = await self.membership.ask(ListOrders("u", 100, 0))
        return {order.id: order.status for order in page.orders}

    async def reconcile_until(self, status: OrderStatus, *orders: str) -> None:
        """Reconcile until all these orders have the status."""
        async with asyncio.timeout(30):
            while {(await self.statuses())[order] for order in orders} != {status}:
                await self.membership.ask(Reconcile())

    async def remaining(self) -> int:
        return (await self.quota.ask(GetBalance("u"))).remaining


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[Environment]:
    async with environment(tmp_path, SandboxGateway) as (env, _):
        yield env


@pytest.fixture
async def env_with_outage(tmp_path: Path) -> AsyncIterator[tuple[Environment, UnreliableGateway]]:
    async with environment(tmp_path, UnreliableGateway) as (env, gateway):
        yield env, gateway


@asynccontextmanager
async def environment(folder: Path, kind: type[G]) -> AsyncIterator[tuple[Environment, G]]:
    db, clock, trades = await Database.open(folder / "data"), ManualClock(), Trades(folder / "trades")
    await db.write(lambda connection: users.add(connection, User("u", "u", 0)))
    quota = Quota(db, clock)
    gateway = kind(Channel.WX, trades, "http://127.0.0.1", b"secret", clock)
    membership = Membership(db, clock, quota, {"wx": gateway}, MembershipSettings(plans=[MONTHLY]))
    quota.start()
    membership.start()
    yield Environment(db, clock, quota, membership, trades, folder / "trades"), gateway
    await membership.stop()
    await quota.stop()
    await audit_and_close(db)


async def test_a_payment_without_a_notification_is_credited_once(env: Environment) -> None:
    order = await env.place_order()
    await env.trades.pay(order, env.clock.now())
    await env.reconcile_until(OrderStatus.PAID, order)
    await env.membership.ask(Reconcile())
    assert await env.remaining() == 100


async def test_an_order_that_ran_out_is_closed_at_the_gateway(env: Environment) -> None:
    order = await env.place_order()
    env.clock.advance(seconds=30 * 60)
    await env.reconcile_until(OrderStatus.CLOSED, order)
    trade = await env.trades.pay(order, 0)
    assert trade.state == "closed", "its QR code cannot be paid any more"


async def test_an_order_paid_just_before_it_ran_out_is_credited(env: Environment) -> None:
    order = await env.place_order()
    await env.trades.pay(order, env.clock.now())
    env.clock.advance(seconds=30 * 60)
    await env.reconcile_until(OrderStatus.PAID, order)
    assert await env.remaining() == 100


async def test_an_order_unknown_to_its_gateway_is_closed_when_it_runs_out(env: Environment) -> None:
    order = await env.place_order()
    (env.trade_files / f"{order}.json").unlink()
    env.clock.advance(seconds=30 * 60)
    await env.reconcile_until(OrderStatus.CLOSED, order)


async def test_an_order_that_cannot_be_checked_does_not_block_the_others(env: Environment) -> None:
    broken, paid = await env.place_order(), await env.place_order()
    (env.trade_files / f"{broken}.json").write_text("")
    await env.trades.pay(paid, env.clock.now())
    await env.reconcile_until(OrderStatus.PAID, paid)
    assert (await env.statuses())[broken] is OrderStatus.PENDING


async def test_all_pending_orders_are_checked_even_if_they_need_several_batches(env: Environment) -> None:
    orders = [await env.place_order() for _ in range(RECONCILE_BATCH + 5)]
    await env.trades.pay(orders[-1], env.clock.now())
    await env.reconcile_until(OrderStatus.PAID, orders[-1])


KEY = IdempotencyKey("key", b"digest")
KEYED = Purchase("u", "wx", None, False, KEY)


class UnreliableGateway(SandboxGateway):
    """A gateway that cannot be reached while `is_down`."""

    is_down = True

    async def prepare(self, invoice: Invoice) -> PaymentForm:
        if self.is_down:
            raise ServiceUnavailable(service="payment", retry_after=1)
        return await super().prepare(invoice)


async def test_a_purchase_repeated_after_an_outage_of_its_gateway_has_one_order(
    env_with_outage: tuple[Environment, UnreliableGateway],
) -> None:
    env, gateway = env_with_outage
    with pytest.raises(ServiceUnavailable):
        await env.membership.ask(KEYED)
    gateway.is_down = False
    placed = await env.membership.ask(KEYED)
    assert await env.statuses() == {placed.order.id: OrderStatus.PENDING}
    assert await env.membership.ask(KEYED) == placed


async def test_a_purchase_repeated_after_its_order_ran_out_is_refused(
    env_with_outage: tuple[Environment, UnreliableGateway],
) -> None:
    env, gateway = env_with_outage
    with pytest.raises(ServiceUnavailable):
        await env.membership.ask(KEYED)
    (order,) = await env.statuses()
    env.clock.advance(seconds=30 * 60)
    await env.reconcile_until(OrderStatus.CLOSED, order)
    gateway.is_down = False
    with pytest.raises(OrderEnded):
        await env.membership.ask(KEYED)


async def test_refusals_are_purged_after_a_day_and_orders_never(env: Environment) -> None:
    start, placed = env.clock.time, await env.membership.ask(KEYED)
    gold = Purchase("u", "wx", "gold", False, IdempotencyKey("gold", b"gold"))
    with pytest.raises(UnknownPlan):
        await env.membership.ask(gold)
    for hours, rows in ((24, 2), (25, 1)):
        env.clock.time = start + hours * 3_600_000
        await env.membership.ask(Purge())
        assert await env.db.read(lambda c: c.execute("SELECT COUNT(*) FROM order_keys").fetchone()) == (rows,)
    assert await env.membership.ask(KEYED) == placed


async def test_the_next_time_is_the_earliest_end_of_a_pending_order(env: Environment) -> None:
    assert await env.membership.ask(GetNextDue()) is None
    paid = await env.place_order()
    env.clock.advance(seconds=60)
    pending_until = env.clock.time + 30 * 60_000
    await env.place_order()
    assert await env.membership.ask(GetNextDue()) == pending_until - 60_000
    assert await env.membership.ask(GetNextDue(pending_until - 60_000)) == pending_until
    await env.trades.pay(paid, env.clock.now())
    await env.reconcile_until(OrderStatus.PAID, paid)
    assert await env.membership.ask(GetNextDue()) == pending_until
