"""Signup gifts. The row is written together with the new user; one ledger entry grants it later."""

from __future__ import annotations

from collections.abc import Collection

from storage.engine.batch import placeholders
from storage.engine.connection import Connection


def add(connection: Connection, user_id: str, amount: int, now: int) -> None:
    """Add a gift that is not granted yet. `amount` in generations."""
    connection.execute(
        "INSERT INTO signup_gifts (user_id, amount, created_at) VALUES (?, ?, ?)", (user_id, amount, now)
    )


def win_granted(connection: Connection, user_ids: Collection[str], now: int) -> dict[str, int]:
    """Mark the gifts of these users as granted. Return the amounts of those that this call marked, by user id."""
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
    """Return the ids of users whose gift is not granted yet."""
    rows = connection.execute("SELECT user_id FROM signup_gifts WHERE granted_at IS NULL LIMIT ?", (limit,))
    return [user_id for (user_id,) in rows]


def next_due(connection: Connection, after: int) -> int | None:
    """Return when the first gift after `after` was promised that is not granted yet, None without one."""
    row = connection.execute(
        "SELECT MIN(created_at) FROM signup_gifts WHERE granted_at IS NULL AND created_at > ?", (after,)
    ).fetchone()
    return None if row[0] is None else int(row[0])
