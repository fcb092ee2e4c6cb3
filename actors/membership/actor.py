"""The membership actor: plans, orders and payments. `_apply_payment` is the only way in which an order is credited."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from actors.deadline import deadline
from actors.durations import MINUTE
from actors.errors import (
    DomainError,
    OrderEnded,
    OrderNotFound,
    ServiceUnavailable,
    StorageError,
    UnknownChannel,
    UnknownPlan,
)
from actors.ids import new_id
from actors.membership.messages import (
    ApplyPayment,
    GetMembershipStatus,
    GetOrder,
    GetPlans,
    HandleNotification,
    ListOrders,
    MembershipStatus,
    Order,
    OrderPage,
    PlacedOrder,
    Purchase,
)
from actors.membership.payments import GATEWAY_SECONDS, Gateways, check_match, check_repeated
from actors.membership.plans import Plan, Plans
from actors.membership.purchase import Offer, place
from actors.membership.reconciliation import Reconciliation
from actors.membership.settings import MembershipSettings
from actors.ports import Acknowledgement, Clock, Invoice, PaymentGateway, PaymentState
from actors.quota.actor import Quota
from actors.quota.commands import Grant
from actors.quota.messages import Balance, GetBalance
from actors.retention import purge_periodically, purge_refusals
from actors.runtime import Actor
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.membership import order_keys, orders
from storage.membership.orders import OrderStatus, PaidOrder, StoredPaymentForm


class Membership(Actor):
    """The membership actor."""

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
        self._order_milliseconds = settings.order_minutes * MINUTE
        self._reconciliation = Reconciliation(self, db, clock, self._gateways)
        self.on(GetPlans, self._get_plans)
        self.on(Purchase, self._purchase)
        self.on(HandleNotification, self._handle_notification)
        self.on(ApplyPayment, self._apply_payment)
        self.on_batch((GetMembershipStatus,), self._get_statuses)
        self.on(GetOrder, self._get_order)
        self.on(ListOrders, self._list_orders)
        purge_periodically(self, lambda: purge_refusals(db, clock, order_keys.purge_refusals))

    # --- plans and purchases ---

    async def _get_plans(self, _: GetPlans) -> Sequence[Plan]:
        return self._plans.all()

    async def _purchase(self, request: Purchase) -> object:
        offer = self._offer(request)
        if isinstance(offer, DomainError) and request.key is None:
            raise offer  # without an idempotency key, the refusal need not be stored
        return self.start_job(self._place_order(request, offer))

    async def _place_order(self, request: Purchase, offer: Offer) -> PlacedOrder:
        # The job itself writes the order, so that a purchase that gets no job creates no order.
        now = self._clock.now()
        order = await self._db.write(lambda c: place(c, request.user_id, offer, request.key, now))
        if isinstance(order, DomainError):
            raise order  # `write` has raised it already; this is for mypy
        try:
            form = await self._db.read(lambda connection: orders.find_payment_form(connection, order.id))
            return PlacedOrder(order, form or await self._open_trade(order))
        except StorageError as fault:  # StorageError promises that nothing was changed, but the order exists
            raise ServiceUnavailable(service="payment", retry_after=1) from fault

    async def _open_trade(self, order: Order) -> StoredPaymentForm:
        """Ask the gateway how the order can be paid.

        If this fails, the order stays pending: a request with the same key tries again, and reconciliation closes the
        order when it runs out.
        """
        if order.status is not OrderStatus.PENDING:
            raise OrderEnded(status=order.status)
        async with deadline("payment", GATEWAY_SECONDS):
            invoice = Invoice(order.id, order.amount, f"Darkroom {order.plan}", order.expires_at)
            request = await self._gateways.get(order.channel).prepare(invoice)
        form = StoredPaymentForm(dict(request.pay_params), request.qrcode_url)
        return await self._db.write(lambda connection: orders.save_payment_form(connection, order.id, form))

    def _offer(self, request: Purchase) -> Offer:
        try:
            self._gateways.get(request.channel)
            return self._new_order(request, self._plans.get(request.plan))
        except (UnknownChannel, UnknownPlan) as refusal:
            return refusal

    def _new_order(self, request: Purchase, plan: Plan) -> Order:
        now = self._clock.now()
        return Order(
            id=new_id(),
            user_id=request.user_id,
            channel=request.channel,
            plan=plan.id,
            amount=plan.price,
            quota=plan.quota,
            days=plan.days,
            rollover=plan.rollover,
            auto_renew=request.auto_renew,
            status=OrderStatus.PENDING,
            transaction_id=None,
            created_at=now,
            expires_at=now + self._order_milliseconds,
            finished_at=None,
        )

    # --- payments ---

    async def _handle_notification(self, message: HandleNotification) -> Acknowledgement:
        channel = message.channel or self._gateways.channel_of(message.notification)
        gateway = self._gateways.get(channel)
        payment = gateway.verify_notification(message.notification)
        await self._apply_payment(ApplyPayment(channel, payment))
        return gateway.acknowledgement

    async def _apply_payment(self, message: ApplyPayment) -> None:
        payment = message.payment
        order = await self._load_order(payment.order_id)
        check_match(order, message.channel, payment)
        if payment.state is PaymentState.PAID:
            receipt = await self._quota.ask(Grant(PaidOrder(order, payment.transaction_id)))
            if receipt is None:
                check_repeated(await self._load_order(order.id), payment)
        elif payment.state is not PaymentState.UNPAID:
            status = OrderStatus(payment.state.value)
            now = self._clock.now()
            await self._db.write(lambda connection: orders.finish_unpaid(connection, order.id, status, now))

    # --- the user's own membership and orders ---

    async def _get_statuses(self, batch: Sequence[GetMembershipStatus]) -> Sequence[object]:
        users = {query.user_id for query in batch}
        balances, last_orders = await asyncio.gather(
            self._quota.ask_each([GetBalance(query.user_id) for query in batch]),
            self._db.fetch(lambda connection: orders.last_paid(connection, users)),
        )
        return [
            balance if isinstance(balance, Exception) else self._status(balance, last_orders.get(query.user_id))
            for query, balance in zip(batch, balances, strict=True)
        ]

    def _status(self, balance: Balance, last_order: Order | None) -> MembershipStatus:
        if last_order is None:
            return MembershipStatus(balance, None, self._plans.default.price, False)
        return MembershipStatus(balance, last_order.plan, last_order.amount, last_order.auto_renew)

    async def _get_order(self, query: GetOrder) -> object:
        order = await self._load_order(query.order_id)
        if order.user_id != query.user_id:
            raise OrderNotFound
        return self.start_job(self._checked(order)) if order.status is OrderStatus.PENDING else order

    async def _checked(self, order: Order) -> Order:
        await self._reconciliation.check_order(order)
        return await self._load_order(order.id)

    async def _list_orders(self, query: ListOrders) -> OrderPage:
        def read(connection: Connection) -> OrderPage:
            page = orders.page(connection, query.user_id, query.limit, query.offset)
            return OrderPage(page, orders.count(connection, query.user_id))

        return await self._db.read(read)

    async def _load_order(self, order_id: str) -> Order:
        order = await self._db.read(lambda connection: orders.find(connection, order_id))
        if order is None:
            raise OrderNotFound
        return order
