"""What a new person is given: promised together with the person, granted by one ledger entry."""

from __future__ import annotations

from collections.abc import Collection

from storage.engine.batch import placeholders
from storage.engine.connection import Connection


def promise(connection: Connection, user_id: str, amount: int, now: int) -> None:
    """`amount` in generations."""
    connection.execute(
        "INSERT INTO signup_gifts (user_id, amount, created_at) VALUES (?, ?, ?)", (user_id, amount, now)
    )


def win(connection: Connection, user_ids: Collection[str], now: int) -> dict[str, int]:
    """Mark the gifts of these people granted; the amount of each that this call has won, by user id."""
    if not user_ids:
        return {}
    rows = connection.execute(
        f"""
        UPDATE signup_gifts SET granted_at = ?
        WHERE user_id IN {placeholders(1, len(user_ids))} AND granted_at IS NULL
        RETURNING user_id, amount
        """,
        (now, *user_ids),
    )
    return dict(rows.fetchall())


def due(connection: Connection, limit: int) -> list[str]:
    """People whose gift was promised and not granted yet."""
    rows = connection.execute("SELECT user_id FROM signup_gifts WHERE granted_at IS NULL LIMIT ?", (limit,))
    return [user_id for (user_id,) in rows]
