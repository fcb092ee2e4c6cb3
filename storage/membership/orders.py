"""Orders, with the terms of their plan at the time of purchase."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from storage.engine.batch import placeholders
from storage.engine.connection import Connection


class OrderStatus(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    CLOSED = "closed"
    FAILED = "failed"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class Order:
    """An order. `amount` in fen, `quota` in generations, times in epoch milliseconds."""

    id: str
    user_id: str
    channel: str
    plan: str
    amount: int
    quota: int
    days: int
    rollover: bool
    auto_renew: bool
    status: OrderStatus
    transaction_id: str | None
    created_at: int
    expires_at: int
    finished_at: int | None


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """An order that its payment gateway reports as paid. It explains a grant."""

    order: Order
    transaction_id: str


_COLUMNS = """id, user_id, channel, plan, amount, quota, days, rollover, auto_renew, status, transaction_id,
    created_at, expires_at, finished_at"""


def add(connection: Connection, order: Order) -> None:
    connection.execute(
        f"INSERT INTO orders ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(order.id, order.user_id, order.channel, order.plan, order.amount, order.quota, order.days),
            *(order.rollover, order.auto_renew, order.status, order.transaction_id),
            *(order.created_at, order.expires_at, order.finished_at),
        ),
    )


@dataclass(frozen=True, slots=True)
class StoredPaymentForm:
    """How an order can be paid, as its gateway answered: parameters of an in-app payment, the URL of a QR code."""

    pay_params: dict[str, str]
    qrcode_url: str


def save_payment_form(connection: Connection, order_id: str, form: StoredPaymentForm) -> StoredPaymentForm:
    """Store the payment form of an order, unless it has one. Return the one that is stored."""
    connection.execute(
        "UPDATE orders SET pay_params = ?, qrcode_url = ? WHERE id = ? AND qrcode_url IS NULL",
        (json.dumps(form.pay_params), form.qrcode_url, order_id),
    )
    return find_payment_form(connection, order_id) or form


def find_payment_form(connection: Connection, order_id: str) -> StoredPaymentForm | None:
    """Return the payment form of an order, or None while its gateway has not answered."""
    row = connection.execute(
        "SELECT pay_params, qrcode_url FROM orders WHERE id = ? AND qrcode_url IS NOT NULL", (order_id,)
    ).fetchone()
    return StoredPaymentForm(json.loads(row[0]), row[1]) if row else None


def find(connection: Connection, order_id: str) -> Order | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM orders WHERE id = ?", (order_id,)).fetchone()
    return _order(row) if row else None


def page(connection: Connection, user_id: str, limit: int, offset: int) -> list[Order]:
    """Return a user's orders, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM orders WHERE user_id = ? ORDER BY id DESC LIMIT ? OFFSET ?",
        (user_id, limit, offset),
    )
    return [_order(row) for row in rows]


def count(connection: Connection, user_id: str) -> int:
    (total,) = connection.execute("SELECT COUNT(*) FROM orders WHERE user_id = ?", (user_id,)).fetchone()
    return int(total)


def last_paid(connection: Connection, user_ids: Collection[str]) -> dict[str, Order]:
    """Return the newest paid order of each of these users, by user id. Users who never paid are left out."""
    rows = connection.execute(
        f"""
        SELECT {_COLUMNS} FROM orders WHERE id IN
            (SELECT MAX(id) FROM orders WHERE status = 'paid' AND user_id IN {placeholders(1, len(user_ids))}
            GROUP BY user_id)
        """,
        tuple(user_ids),
    )
    return {order.user_id: order for order in map(_order, rows)}


def pending(connection: Connection, after: str, limit: int) -> list[Order]:
    """Return orders that are not paid yet and whose id is greater than `after`, ordered by id."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM orders WHERE status = 'pending' AND id > ? ORDER BY id LIMIT ?",
        (after, limit),
    )
    return [_order(row) for row in rows]


def next_end(connection: Connection, after: int) -> int | None:
    """Return the earliest time later than `after` at which a pending order runs out, None without one."""
    row = connection.execute(
        "SELECT MIN(expires_at) FROM orders WHERE status = 'pending' AND expires_at > ?", (after,)
    ).fetchone()
    return None if row[0] is None else int(row[0])


def win_paid(connection: Connection, paid: Sequence[PaidOrder], now: int) -> set[PaidOrder]:
    """Move pending orders to paid. Return those that this call moved. A payment transaction pays for one order only."""
    won = set()
    for payment in paid:
        changed = connection.execute(
            """
            UPDATE orders SET status = 'paid', transaction_id = ?, finished_at = ?
            WHERE id = ? AND status = 'pending'
              AND NOT EXISTS (SELECT 1 FROM orders AS other WHERE other.channel = ? AND other.transaction_id = ?)
            """,
            (
                *(payment.transaction_id, now, payment.order.id),
                *(payment.order.channel, payment.transaction_id),
            ),
        )
        if changed.rowcount:
            won.add(payment)
    return won


def finish_unpaid(connection: Connection, order_id: str, status: OrderStatus, now: int) -> None:
    """Move a pending order to closed or failed. An order in another state does not change."""
    connection.execute(
        "UPDATE orders SET status = ?, finished_at = ? WHERE id = ? AND status = 'pending'", (status, now, order_id)
    )


def _order(row: Any) -> Order:
    id, user, channel, plan, amount, quota, days, rollover, auto_renew, status, paid_by, created, expires, done = row
    return Order(
        *(id, user, channel, plan, amount, quota, days, bool(rollover), bool(auto_renew)),
        *(OrderStatus(status), paid_by, created, expires, done),
    )
