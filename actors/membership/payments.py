"""The payment gateways by channel, and the checks that a payment fits the order that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import structlog

from actors.errors import PaymentMismatch, SignatureInvalid, UnknownChannel
from actors.ports import Notification, Payment, PaymentGateway, PaymentState
from storage.membership.orders import Order, OrderStatus

GATEWAY_SECONDS = 15  # how long one call to a gateway may take

log = structlog.stdlib.get_logger("darkroom.membership")


class Gateways:
    """The configured payment gateways, by channel."""

    def __init__(self, gateways: Mapping[str, PaymentGateway]) -> None:
        self._by_channel = gateways

    def get(self, channel: str) -> PaymentGateway:
        """Return the gateway of a channel. Raises UnknownChannel."""
        if channel not in self._by_channel:
            raise UnknownChannel(channel=channel, known=", ".join(self._by_channel))
        return self._by_channel[channel]

    def channel_of(self, notification: Notification) -> str:
        """Return the channel whose gateway recognizes the notification. Raises SignatureInvalid if none does."""
        for channel, gateway in self._by_channel.items():
            if gateway.recognizes(notification):
                return channel
        raise SignatureInvalid


def check_match(order: Order, channel: str, payment: Payment) -> None:
    """Check that channel and amount are those of the order. Raises PaymentMismatch, and logs it for the operator."""
    if order.channel != channel:
        _reject(order, payment, f"it came over {channel}, but the order is for {order.channel}")
    if payment.state is PaymentState.PAID and payment.amount != order.amount:
        _reject(order, payment, f"it is of {payment.amount} fen, but the order is for {order.amount} fen")


def check_repeated(order: Order, payment: Payment) -> None:
    """Check that a payment that granted nothing was applied before. Raises PaymentMismatch, and logs it."""
    if order.status not in (OrderStatus.PAID, OrderStatus.REFUNDED):
        _reject(order, payment, f"the order is {order.status}")
    if order.transaction_id != payment.transaction_id:
        _reject(order, payment, f"the order was already paid by {order.transaction_id}")


def _reject(order: Order, payment: Payment, problem: str) -> NoReturn:
    # An error, because money may have been paid for nothing: the operator has to look into it.
    log.error("a payment credits nothing", transaction=payment.transaction_id, order=order.id, problem=problem)
    raise PaymentMismatch(problem=problem)
