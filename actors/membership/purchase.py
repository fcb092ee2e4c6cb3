"""Placing an order, once for each idempotency key."""

from __future__ import annotations

import json

from actors.errors import DomainError, IdempotencyKeyReused, UnknownChannel, UnknownPlan
from actors.idempotency import IdempotencyKey
from storage.engine.connection import Connection
from storage.membership import order_keys, orders
from storage.membership.order_keys import StoredOrderAnswer
from storage.membership.orders import Order

Offer = Order | UnknownChannel | UnknownPlan

_REFUSALS = {kind.__name__: kind for kind in (UnknownChannel, UnknownPlan)}


def place(
    connection: Connection, user_id: str, offer: Offer, key: IdempotencyKey | None, now: int
) -> Order | DomainError:
    """Place the offered order, or return the first answer to its key.

    A refusal is returned and not raised, so that the transaction stores it.
    """
    if key is None:
        return _add_order(connection, offer)
    stored = order_keys.find(connection, user_id, key.key)
    if stored is not None:
        return _repeat(connection, stored, key)
    outcome = _add_order(connection, offer)
    order_keys.add(connection, _to_answer(user_id, key, offer, now))
    return outcome


def _add_order(connection: Connection, offer: Offer) -> Order | DomainError:
    if isinstance(offer, Order):
        orders.add(connection, offer)
    return offer


def _repeat(connection: Connection, stored: StoredOrderAnswer, key: IdempotencyKey) -> Order | DomainError:
    if stored.digest != key.digest:
        return IdempotencyKeyReused()
    if stored.order_id is None:
        assert stored.refusal is not None, "a stored answer is an order or a refusal"
        kind, facts = json.loads(stored.refusal)
        return _REFUSALS[kind](**facts)
    order = orders.find(connection, stored.order_id)
    assert order is not None, "orders are never deleted"
    return order


def _to_answer(user_id: str, key: IdempotencyKey, offer: Offer, now: int) -> StoredOrderAnswer:
    if isinstance(offer, Order):
        return StoredOrderAnswer(user_id, key.key, key.digest, offer.id, None, now)
    refusal = json.dumps([type(offer).__name__, offer.facts])
    return StoredOrderAnswer(user_id, key.key, key.digest, None, refusal, now)
