"""What purchases with an Idempotency-Key led to, so that the same key gives the same answer."""

from __future__ import annotations

from dataclasses import dataclass

from storage.engine.connection import Connection


@dataclass(frozen=True, slots=True)
class StoredOrderAnswer:
    """The order that was made, or the refusal in the actor's own writing. `digest` is of the request."""

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


def add(connection: Connection, a: StoredOrderAnswer) -> None:
    connection.execute(
        "INSERT INTO order_keys (user_id, key, digest, order_id, refusal, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (a.user_id, a.key, a.digest, a.order_id, a.refusal, a.created_at),
    )


def purge_refusals(connection: Connection, before: int, limit: int) -> int:
    """Forget up to `limit` refusals from before that moment; what led to an order is kept for ever. How many."""
    forgotten = connection.execute(
        """
        DELETE FROM order_keys WHERE (user_id, key) IN
            (SELECT user_id, key FROM order_keys WHERE refusal IS NOT NULL AND created_at < ? LIMIT ?)
        """,
        (before, limit),
    )
    return forgotten.rowcount
