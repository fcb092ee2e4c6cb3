"""Accounts: the balance and the membership of a user. Only the quota actor writes them, together with the ledger."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import NamedTuple

from storage.engine.batch import fetch_json, placeholders
from storage.engine.connection import Connection


class Account(NamedTuple):
    """The account of a user.

    `balance` in generations; `expires_at` is the end of the membership in epoch milliseconds, 0 without one;
    `last_entry` is the id of the user's last ledger entry.
    """

    user_id: str
    balance: int = 0
    expires_at: int = 0
    last_entry: int | None = None


def load(connection: Connection, user_ids: Collection[str]) -> dict[str, Account]:
    """Return the accounts of these users by user id, with an empty account for a user who has none yet."""
    rest = f"FROM accounts WHERE user_id IN {placeholders(1, len(user_ids))}"
    rows = fetch_json(connection, "user_id, balance, expires_at, last_entry", rest, tuple(user_ids))
    stored = {row[0]: Account(*row) for row in rows}
    return {user_id: stored.get(user_id) or Account(user_id) for user_id in user_ids}


def save(connection: Connection, accounts: Collection[Account]) -> None:
    if not accounts:
        return
    connection.execute(
        f"""
        INSERT INTO accounts (user_id, balance, expires_at, last_entry) VALUES {placeholders(len(accounts), 4)}
        ON CONFLICT (user_id) DO UPDATE SET
            balance = excluded.balance, expires_at = excluded.expires_at, last_entry = excluded.last_entry
        """,
        list(chain.from_iterable(accounts)),
    )


def expired(connection: Connection, now: int, limit: int) -> list[str]:
    """Return the ids of users whose membership has ended and is not closed yet, the earliest end first."""
    rows = connection.execute(
        "SELECT user_id FROM accounts WHERE expires_at > 0 AND expires_at <= ? ORDER BY expires_at LIMIT ?",
        (now, limit),
    )
    return [user_id for (user_id,) in rows]


def next_end(connection: Connection, after: int) -> int | None:
    """Return the earliest end of a membership later than `after`, None without one. Closed memberships have no end."""
    row = connection.execute(
        "SELECT expires_at FROM accounts WHERE expires_at > 0 AND expires_at > ? ORDER BY expires_at LIMIT 1", (after,)
    ).fetchone()
    return int(row[0]) if row else None
