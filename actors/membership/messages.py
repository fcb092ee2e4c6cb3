"""What the membership actor can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.idempotency import IdempotencyKey
from actors.membership.plans import Plan
from actors.message import Message
from actors.ports import Acknowledgement, Notification, Payment
from actors.quota.messages import Balance
from storage.membership.orders import Order as Order
from storage.membership.orders import StoredPaymentForm


@dataclass(frozen=True, slots=True)
class GetPlans(Message[Sequence[Plan]]):
    """Return the plans on offer, the default first."""


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order, and how the user can pay it."""

    order: Order
    form: StoredPaymentForm


@dataclass(frozen=True, slots=True)
class Purchase(Message[PlacedOrder]):
    """Order a plan, the default one for None. The same `key` returns the same order again.

    Raises UnknownChannel, UnknownPlan, ServiceUnavailable, IdempotencyKeyReused, OrderEnded.
    """

    user_id: str
    channel: str
    plan: str | None
    auto_renew: bool
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class HandleNotification(Message[Acknowledgement]):
    """Verify and apply the notification of a payment gateway. A repeated one is acknowledged again.

    `channel` is None when it came to the URL that all gateways share.
    Raises UnknownChannel, SignatureInvalid, OrderNotFound, PaymentMismatch.
    """

    channel: str | None
    notification: Notification


@dataclass(frozen=True, slots=True)
class ApplyPayment(Message[None]):
    """Apply the verified state of a payment to its order. Raises OrderNotFound, PaymentMismatch."""

    channel: str
    payment: Payment


@dataclass(frozen=True, slots=True)
class MembershipStatus:
    """The membership of a user. `plan` is the one bought last, None before the first purchase; `price` in fen."""

    balance: Balance
    plan: str | None
    price: int
    auto_renew: bool


@dataclass(frozen=True, slots=True)
class GetMembershipStatus(Message[MembershipStatus]):
    """Return the membership of a user."""

    user_id: str


@dataclass(frozen=True, slots=True)
class GetOrder(Message[Order]):
    """Return one order; while it is pending, its gateway is asked first.

    Raises OrderNotFound, also when the order belongs to another user.
    """

    user_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A page of a user's orders. `total` counts all orders of the user."""

    orders: Sequence[Order]
    total: int


@dataclass(frozen=True, slots=True)
class ListOrders(Message[OrderPage]):
    """Return the orders of a user, newest first."""

    user_id: str
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class Reconcile(Message[None]):
    """Ask the gateways about all pending orders, because notifications get lost and orders run out."""
