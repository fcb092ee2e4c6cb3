"""The answers to purchases with an Idempotency-Key, so that the same key gives the same answer."""

from __future__ import annotations

from dataclasses import dataclass

from storage.engine.connection import Connection


@dataclass(frozen=True, slots=True)
class StoredOrderAnswer:
    """The stored answer to an idempotency key of a purchase.

    It has either the created order, or the refusal as the actor has serialized it. `digest` is of the request.
    """

    user_id: str
    key: str
    digest: bytes
    order_id: str | None
    refusal: str | None
    created_at: int


def find(connection: Connection, user_id: str, key: str) -> StoredOrderAnswer | None:
    row = connection.execute(
        "SELECT user_id, key, digest, order_id, refusal, created_at FROM order_keys WHERE user_id = ? AND key = ?",
        (user_id, key),
    ).fetchone()
    return StoredOrderAnswer(*row) if row else None


def add(connection: Connection, answer: StoredOrderAnswer) -> None:
    connection.execute(
        "INSERT INTO order_keys (user_id, key, digest, order_id, refusal, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (answer.user_id, answer.key, answer.digest, answer.order_id, answer.refusal, answer.created_at),
    )


def purge_refusals(connection: Connection, before: int, limit: int) -> int:
    """Delete up to `limit` refusals from before a time (epoch milliseconds). Return how many were deleted.

    Answers that name an order are never deleted.
    """
    deleted = connection.execute(
        """
        DELETE FROM order_keys WHERE (user_id, key) IN
            (SELECT user_id, key FROM order_keys WHERE refusal IS NOT NULL AND created_at < ? LIMIT ?)
        """,
        (before, limit),
    )
    return deleted.rowcount
