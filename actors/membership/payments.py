"""Gateways by channel, and whether what one says of a payment fits the order it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import structlog

from actors.errors import PaymentMismatch, SignatureInvalid, UnknownChannel
from actors.ports import Notification, Payment, PaymentGateway, PaymentState
from storage.membership.orders import Order, OrderStatus

log = structlog.stdlib.get_logger("darkroom.membership")


class Gateways:
    """The payment gateways that are configured, by channel."""

    def __init__(self, gateways: Mapping[str, PaymentGateway]) -> None:
        self._by_channel = gateways

    def of(self, channel: str) -> PaymentGateway:
        """Raises UnknownChannel."""
        if channel not in self._by_channel:
            raise UnknownChannel(channel=channel, known=", ".join(self._by_channel))
        return self._by_channel[channel]

    def channel_of(self, notification: Notification) -> str:
        """Whose notification this is by its shape. Raises SignatureInvalid where nobody claims it."""
        for channel, gateway in self._by_channel.items():
            if gateway.claims(notification):
                return channel
        raise SignatureInvalid


def check_match(order: Order, channel: str, payment: Payment) -> None:
    """Raises PaymentMismatch, after leaving a line for the operator: money may have moved."""
    if order.channel != channel:
        _set_aside(order, payment, f"it came over {channel}, the order is for {order.channel}")
    if payment.state is PaymentState.PAID and payment.amount != order.amount:
        _set_aside(order, payment, f"it is of {payment.amount} fen, the order is for {order.amount} fen")


def check_repeated(order: Order, payment: Payment) -> None:
    """A payment that won no grant must be a repeated one. Raises PaymentMismatch."""
    if order.status not in (OrderStatus.PAID, OrderStatus.REFUNDED):
        _set_aside(order, payment, f"the order is {order.status}")
    if order.transaction_id != payment.transaction_id:
        _set_aside(order, payment, f"the order was paid by {order.transaction_id} already")


def _set_aside(order: Order, payment: Payment, problem: str) -> NoReturn:
    log.error("a payment credits nothing", transaction=payment.transaction_id, order=order.id, problem=problem)
    raise PaymentMismatch(problem=problem)
