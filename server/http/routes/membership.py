"""Routes: plans, purchases, orders, the membership, and the payment callbacks of gateways."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

from aiohttp import web
from pydantic import Field

from actors.durations import DAY
from actors.errors import UnknownChannel, UnknownPlan
from actors.idempotency import IdempotencyKey
from actors.membership.actor import Membership
from actors.membership.messages import (
    GetMembershipStatus,
    GetOrder,
    GetPlans,
    HandleNotification,
    ListOrders,
    Order,
    Purchase,
)
from actors.membership.plans import Plan
from actors.ports import Channel, Clock, Notification
from server.http.body import Body, FieldErrors, Line, Query, QueryInteger, read_bytes
from server.http.idempotency import idempotency_key
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route, Success
from server.http.times import iso

_CHANNELS = {"wx": Channel.WX, "wechat": Channel.WX, "alipay": Channel.ALIPAY}


class PurchaseBody(Body):
    field_errors: ClassVar[FieldErrors] = {
        "channel": partial(UnknownChannel, channel="?", known=", ".join(_CHANNELS)),
        "plan": partial(UnknownPlan, plan="?", known="GET /api/membership/plans"),
    }
    channel: Annotated[Line, Field(max_length=32)]
    plan: Annotated[Line, Field(max_length=32)] | None = None
    autoRenew: bool = False


class OrdersQuery(Query):
    limit: Annotated[QueryInteger, Field(ge=1, le=100)] = 10
    offset: Annotated[QueryInteger, Field(ge=0, le=1_000_000)] = 0


class MembershipRoutes:
    def __init__(self, membership: Membership, clock: Clock) -> None:
        self._membership, self._clock = membership, clock

    def routes(self) -> list[AnyRoute]:
        callback = "/api/membership/payment-callback"
        status_capacity = partial(self._membership.check_capacity, GetMembershipStatus)
        return [
            Route("GET", "/api/membership/plans", self._plans, Access.PUBLIC),
            Route("POST", "/api/membership/purchase", self._purchase, body=PurchaseBody),
            Route("POST", callback, self._callback, Access.PUBLIC),
            Route("POST", f"{callback}/{{channel}}", self._channel_callback, Access.PUBLIC),
            Route("GET", "/api/membership/status", self._status, check_capacity=status_capacity),
            Route("GET", "/api/membership/orders", self._orders, query=OrdersQuery),
            Route("GET", "/api/membership/orders/{orderId}", self._order),
        ]

    async def _plans(self, call: Call[NoBody, NoQuery]) -> Success:
        plans = await self._membership.ask(GetPlans())
        return Success([_plan_wire(plan) for plan in plans])

    async def _purchase(self, call: Call[PurchaseBody, NoQuery]) -> Success:
        body = call.body
        channel = _channel(body.channel)
        key = IdempotencyKey.of(idempotency_key(call.request), channel, body.plan, body.autoRenew)
        purchase = Purchase(call.caller.user_id, channel, body.plan, body.autoRenew, key)
        purchased = await self._membership.ask(purchase)
        return Success(
            {
                "orderId": purchased.order.id,
                "amount": purchased.order.amount,
                "channel": purchased.order.channel,
                "payParams": purchased.form.pay_params,
                "qrcodeUrl": purchased.form.qrcode_url,
                "expireAt": iso(purchased.order.expires_at),
            }
        )

    async def _callback(self, call: Call[NoBody, NoQuery]) -> web.Response:
        return await self._handle_callback(call.request, None)

    async def _channel_callback(self, call: Call[NoBody, NoQuery]) -> web.Response:
        return await self._handle_callback(call.request, _channel(call.path("channel")))

    async def _handle_callback(self, request: web.Request, channel: Channel | None) -> web.Response:
        """Pass a gateway's notification on. A success is answered in the gateway's own format.

        A failure is answered in the envelope: its 4xx status makes the gateway try again.
        """
        headers = {name.lower(): value for name, value in request.headers.items()}
        notification = Notification(headers, await read_bytes(request))
        acknowledgement = await self._membership.ask(HandleNotification(channel, notification))
        return web.Response(body=acknowledgement.body, content_type=acknowledgement.content_type)

    async def _status(self, call: Call[NoBody, NoQuery]) -> Success:
        status = await self._membership.ask(GetMembershipStatus(call.caller.user_id))
        balance = status.balance
        remaining_ms = 0 if balance.expires_at is None else balance.expires_at - self._clock.now()
        return Success(
            {
                "isMember": balance.is_member,
                "quota_remaining": balance.remaining,
                "quota_expireAt": iso(balance.expires_at),
                "expireDays": max(0, -(-remaining_ms // DAY)),
                "price": status.price,
                "plan": status.plan,
                "autoRenew": status.auto_renew,
            }
        )

    async def _orders(self, call: Call[NoBody, OrdersQuery]) -> Success:
        query = call.query
        page = await self._membership.ask(ListOrders(call.caller.user_id, query.limit, query.offset))
        return Success(
            {
                "orders": [_order_wire(order) for order in page.orders],
                "total": page.total,
                "limit": query.limit,
                "offset": query.offset,
            }
        )

    async def _order(self, call: Call[NoBody, NoQuery]) -> Success:
        return Success(_order_wire(await self._membership.ask(GetOrder(call.caller.user_id, call.path("orderId")))))


def _channel(name: str) -> Channel:
    if name not in _CHANNELS:
        raise UnknownChannel(channel=name, known=", ".join(_CHANNELS))
    return _CHANNELS[name]


def _plan_wire(plan: Plan) -> dict[str, str | int]:
    return {"id": plan.id, "name": plan.name, "price": plan.price, "quota": plan.quota, "days": plan.days}


def _order_wire(order: Order) -> dict[str, str | int | bool | None]:
    return {
        "orderId": order.id,
        "channel": order.channel,
        "plan": order.plan,
        "amount": order.amount,
        "quota": order.quota,
        "days": order.days,
        "status": order.status.value,
        "transactionId": order.transaction_id,
        "autoRenew": order.auto_renew,
        "createdAt": iso(order.created_at),
        "expireAt": iso(order.expires_at),
        "paidAt": iso(order.finished_at) if order.transaction_id else None,
    }
