"""Plans, orders and what gateways say about them. Money credits an order only through `_confirm`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from actors.deadline import deadline
from actors.errors import (
    DomainError,
    OrderEnded,
    OrderNotFound,
    ServiceUnavailable,
    StorageError,
    UnknownChannel,
    UnknownPlan,
)
from actors.idempotency import IdempotencyKey
from actors.ids import new_id
from actors.membership.payments import Gateways, check_match, check_repeated
from actors.membership.plans import Plan, Plans
from actors.membership.purchase import Offer, place
from actors.membership.settings import MembershipSettings
from actors.ports import Acknowledgement, Clock, Invoice, Notification, Payment, PaymentGateway, PaymentState
from actors.quota.actor import Balance, GetBalance, Grant, Quota
from actors.retention import PurgeJob, purge_refusals
from actors.runtime import Actor, Message
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.membership import order_keys, orders
from storage.membership.orders import Order as Order
from storage.membership.orders import OrderStatus, PaidOrder, PaymentForm

log = structlog.stdlib.get_logger("darkroom.membership")

RECONCILE_SECONDS = 60  # how often gateways are asked about orders that stay unpaid
RECONCILE_BATCH = 8  # orders asked about at the same time
GATEWAY_SECONDS = 15  # what a gateway may take for one answer


@dataclass(frozen=True, slots=True)
class GetPlans(Message[Sequence[Plan]]):
    pass


@dataclass(frozen=True, slots=True)
class Purchased:
    order: Order
    form: PaymentForm


@dataclass(frozen=True, slots=True)
class Purchase(Message[Purchased]):
    """Order a plan, the first one by default. The same `key` finds the order of its first time.

    Raises UnknownChannel, UnknownPlan, ServiceUnavailable, IdempotencyKeyReused, OrderEnded.
    """

    user_id: str
    channel: str
    plan: str | None
    auto_renew: bool
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Notify(Message[Acknowledgement]):
    """A gateway's notification, to the address of a channel or to the common one.

    Raises UnknownChannel, SignatureInvalid, OrderNotFound, PaymentMismatch. A repeated one is acknowledged again.
    """

    channel: str | None
    notification: Notification


@dataclass(frozen=True, slots=True)
class Confirm(Message[None]):
    """What a gateway said about an order, verified. Raises OrderNotFound, PaymentMismatch."""

    channel: str
    payment: Payment


@dataclass(frozen=True, slots=True)
class Status:
    """A membership as its owner sees it; `plan` is what was bought last, None before the first purchase."""

    balance: Balance
    plan: str | None
    price: int
    auto_renew: bool


@dataclass(frozen=True, slots=True)
class GetStatus(Message[Status]):
    user_id: str


@dataclass(frozen=True, slots=True)
class GetOrder(Message[Order]):
    """One order; the gateway is asked while it is pending. Raises OrderNotFound, also for somebody else's."""

    user_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class OrderPage:
    orders: Sequence[Order]
    total: int


@dataclass(frozen=True, slots=True)
class ListOrders(Message[OrderPage]):
    user_id: str
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class Reconcile(Message[None]):
    """Ask the gateways about pending orders: notifications get lost, and orders run out."""


class Membership(Actor):
    def __init__(
        self,
        db: Database,
        clock: Clock,
        quota: Quota,
        gateways: Mapping[str, PaymentGateway],
        settings: MembershipSettings,
    ) -> None:
        super().__init__()
        self._db, self._clock, self._quota, self._gateways = db, clock, quota, Gateways(gateways)
        self._plans = Plans(settings.plans)
        self._order_milliseconds = settings.order_minutes * 60_000
        self._reconciliation: asyncio.Future[None] | None = None
        self.on(GetPlans, self._get_plans)
        self.on(Purchase, self._purchase)
        self.on(Notify, self._notify)
        self.on(Confirm, self._confirm)
        self.on_batch((GetStatus,), self._statuses)
        self.on(GetOrder, self._get_order)
        self.on(ListOrders, self._list_orders)
        self.on(Reconcile, self._reconcile)
        self.every(RECONCILE_SECONDS, Reconcile())
        PurgeJob(self, lambda: purge_refusals(db, clock, order_keys.purge_refusals))

    async def _get_plans(self, _: GetPlans) -> Sequence[Plan]:
        return self._plans.all()

    async def _purchase(self, wanted: Purchase) -> object:
        offer = self._offer(wanted)
        if isinstance(offer, DomainError) and wanted.key is None:
            raise offer  # nothing has to be remembered
        return self.start_job(self._buy(wanted, offer))

    async def _buy(self, wanted: Purchase, offer: Offer) -> Purchased:
        # Written inside the job, so that a purchase refused for want of a job leaves no order behind.
        now = self._clock.now()
        order = await self._db.write(lambda c: place(c, wanted.user_id, offer, wanted.key, now))
        if isinstance(order, DomainError):
            raise order  # which `write` has done already; this says so to the reader and to mypy
        try:
            form = await self._db.read(lambda connection: orders.find_payment_form(connection, order.id))
            return Purchased(order, form or await self._open_trade(order))
        except StorageError as fault:  # which says that nothing was changed, and there is an order
            raise ServiceUnavailable(service="payment", retry_after=1) from fault

    async def _open_trade(self, order: Order) -> PaymentForm:
        """Ask the gateway how the order can be paid.

        If this fails the order stays pending. The same key tries again; `_reconcile` closes what runs out.
        """
        if order.status is not OrderStatus.PENDING:
            raise OrderEnded(status=order.status)
        async with deadline("payment", GATEWAY_SECONDS):
            invoice = Invoice(order.id, order.amount, f"Darkroom {order.plan}", order.expires_at)
            request = await self._gateways.of(order.channel).prepare(invoice)
        form = PaymentForm(dict(request.pay_params), request.qrcode_url)
        return await self._db.write(lambda connection: orders.save_payment_form(connection, order.id, form))

    async def _notify(self, message: Notify) -> Acknowledgement:
        channel = message.channel or self._gateways.channel_of(message.notification)
        gateway = self._gateways.of(channel)
        payment = gateway.read(message.notification)
        await self._confirm(Confirm(channel, payment))
        return gateway.acknowledgement

    async def _confirm(self, message: Confirm) -> None:
        payment = message.payment
        order = await self._find(payment.order_id)
        check_match(order, message.channel, payment)
        if payment.state is PaymentState.PAID:
            granted = await self._quota.ask(Grant(PaidOrder(order, payment.transaction_id)))
            if granted is None:
                check_repeated(await self._find(order.id), payment)
        elif payment.state is not PaymentState.UNPAID:
            status = OrderStatus(payment.state.value)
            now = self._clock.now()
            await self._db.write(lambda connection: orders.finish_unpaid(connection, order.id, status, now))

    async def _statuses(self, batch: Sequence[GetStatus]) -> Sequence[object]:
        users = {query.user_id for query in batch}
        balances, last = await asyncio.gather(
            self._quota.ask_each([GetBalance(query.user_id) for query in batch]),
            self._db.fetch(lambda connection: orders.last_paid(connection, users)),
        )
        return [
            balance if isinstance(balance, Exception) else self._status(balance, last.get(query.user_id))
            for query, balance in zip(batch, balances, strict=True)
        ]

    def _status(self, balance: Balance, last: Order | None) -> Status:
        if last is None:
            return Status(balance, None, self._plans.default.price, False)
        return Status(balance, last.plan, last.amount, last.auto_renew)

    async def _get_order(self, query: GetOrder) -> object:
        order = await self._find(query.order_id)
        if order.user_id != query.user_id:
            raise OrderNotFound
        return self.start_job(self._asked(order)) if order.status is OrderStatus.PENDING else order

    async def _asked(self, order: Order) -> Order:
        await self._ask_gateway(order)
        return await self._find(order.id)

    async def _list_orders(self, query: ListOrders) -> OrderPage:
        def read(connection: Connection) -> OrderPage:
            page = orders.page(connection, query.user_id, query.limit, query.offset)
            return OrderPage(page, orders.count(connection, query.user_id))

        return await self._db.read(read)

    async def _reconcile(self, _: Reconcile) -> None:
        if self._reconciliation is None or self._reconciliation.done():
            self._reconciliation = self.start_job(self._ask_about_all())

    async def _ask_about_all(self) -> None:
        after = ""
        while waiting := await self._pending(after):
            await asyncio.gather(*map(self._ask_gateway, waiting))
            after = waiting[-1].id

    async def _pending(self, after: str) -> Sequence[Order]:
        return await self._db.read(lambda connection: orders.pending(connection, after, RECONCILE_BATCH))

    async def _ask_gateway(self, order: Order) -> None:
        """Learn from the gateway what became of a pending order; one that ran out is closed there first."""
        try:
            gateway = self._gateways.of(order.channel)
            async with deadline("payment", GATEWAY_SECONDS):
                run_out = order.expires_at <= self._clock.now()
                payment = await (gateway.close(order.id) if run_out else gateway.query(order.id))
            await self.report(Confirm(order.channel, payment))
        except DomainError as fault:
            log.warning("an order could not be checked", order=order.id, channel=order.channel, fault=repr(fault))
        except Exception:  # whatever it is, the orders behind this one are asked about all the same
            log.exception("an order could not be checked", order=order.id, channel=order.channel)

    async def _find(self, order_id: str) -> Order:
        order = await self._db.read(lambda connection: orders.find(connection, order_id))
        if order is None:
            raise OrderNotFound
        return order

    def _offer(self, wanted: Purchase) -> Offer:
        try:
            self._gateways.of(wanted.channel)
            return self._new_order(wanted, self._plans.find(wanted.plan))
        except (UnknownChannel, UnknownPlan) as refusal:
            return refusal

    def _new_order(self, wanted: Purchase, plan: Plan) -> Order:
        now = self._clock.now()
        return Order(
            id=new_id(),
            user_id=wanted.user_id,
            channel=wanted.channel,
            plan=plan.id,
            amount=plan.price,
            quota=plan.quota,
            days=plan.days,
            rollover=plan.rollover,
            auto_renew=wanted.auto_renew,
            status=OrderStatus.PENDING,
            transaction_id=None,
            created_at=now,
            expires_at=now + self._order_milliseconds,
            finished_at=None,
        )
