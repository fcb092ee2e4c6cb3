"""Darkroom's data folder for the benchmark."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from storage.auth import signing_keys
from storage.engine.migrate import migrate
from tests.bench.members import BALANCE, CODE, DAY, DAYS, KEY, Member, insert_rows, login_phone
from tests.support.pictures import shirt
from tests.support.server import SECRETS


def create_darkroom_data(folder: Path, members: Sequence[Member], logins: int) -> None:
    """Create a data folder as Darkroom would have written it, with a valid code for each of `logins` phones."""
    folder.mkdir(parents=True)
    _write_pictures(folder / "pictures", members)
    connection = sqlite3.connect(folder / "darkroom.sqlite3", isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        migrate(connection)
        now = time.time_ns() // 1_000_000
        connection.execute("BEGIN")
        _insert_sessions(connection, members, now)
        _insert_orders_and_tasks(connection, members, now)
        _insert_balances(connection, members, now)
        _insert_codes(connection, logins, now)
        signing_keys.add(connection, KEY)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _write_pictures(folder: Path, members: Sequence[Member]) -> None:
    picture = shirt()
    for member in members:
        path = folder / member.picture
        path.parent.mkdir(parents=True)
        path.write_bytes(picture)


def _insert_sessions(connection: sqlite3.Connection, members: Sequence[Member], now: int) -> None:
    insert_rows(connection, "users (id, phone, created_at)", ((m.id, m.phone, now) for m in members))
    insert_rows(
        connection,
        "sessions (id, user_id, created_at, expires_at)",
        ((m.session, m.id, now, now + DAYS * DAY) for m in members),
    )
    insert_rows(
        connection,
        "refresh_tokens (digest, session_id)",
        ((hashlib.sha256(m.id.encode()).digest(), m.session) for m in members),
    )


def _insert_orders_and_tasks(connection: sqlite3.Connection, members: Sequence[Member], now: int) -> None:
    insert_rows(
        connection,
        """orders (id, user_id, channel, plan, amount, quota, days, rollover, auto_renew, status, transaction_id,
            created_at, expires_at, finished_at)""",
        (
            (m.order, m.id, "wx", "monthly", 9900, BALANCE, DAYS, 1, 0, "paid", f"t-{m.order}", now, now, now)
            for m in members
        ),
    )
    insert_rows(
        connection,
        "tasks (id, user_id, type, status, input_key, params, created_at, updated_at)",
        ((m.task, m.id, "basic_clean", "pending", m.picture, '{"template": "all"}', now, now) for m in members),
    )


def _insert_balances(connection: sqlite3.Connection, members: Sequence[Member], now: int) -> None:
    """Each member has two ledger entries: the order's grant and the task's charge."""
    insert_rows(
        connection,
        "accounts (user_id, balance, expires_at, last_entry)",
        ((m.id, BALANCE - 1, now + DAYS * DAY, 2 * n) for n, m in enumerate(members, 1)),
    )
    insert_rows(
        connection,
        "ledger (id, user_id, kind, amount, balance, reference, created_at, previous)",
        itertools.chain.from_iterable(
            (
                (2 * n - 1, m.id, "grant", BALANCE, BALANCE, m.order, now, None),
                (2 * n, m.id, "charge", -1, BALANCE - 1, m.task, now, 2 * n - 1),
            )
            for n, m in enumerate(members, 1)
        ),
    )


def _insert_codes(connection: sqlite3.Connection, logins: int, now: int) -> None:
    insert_rows(
        connection,
        "codes (phone, digest, expires_at)",
        ((phone, _code_digest(phone), now + DAY) for phone in map(login_phone, range(logins))),
    )


def _code_digest(phone: str) -> bytes:
    """The digest that the auth actor stores for a code."""
    return hmac.digest(SECRETS["code"].encode(), f"{phone}:{CODE}".encode(), hashlib.sha256)
