"""The database of the obvious implementation: its tables, and the same people in them as in Darkroom's."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.members import BALANCE, CODE, DAY, DAYS, Member, insert, login_phone

SCHEMA = """
CREATE TABLE users (id TEXT PRIMARY KEY, phone TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL);
CREATE TABLE codes (phone TEXT PRIMARY KEY, code TEXT NOT NULL, tries INTEGER NOT NULL, expires_at INTEGER NOT NULL);
CREATE TABLE sessions (refresh_token TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id));
CREATE TABLE accounts (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    balance INTEGER NOT NULL CHECK (balance >= 0),
    expires_at INTEGER NOT NULL
);
CREATE TABLE orders (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), plan TEXT NOT NULL, price INTEGER NOT NULL,
    auto_renew INTEGER NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL
);
CREATE INDEX orders_by_user ON orders (user_id, created_at);
CREATE TABLE tasks (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), type TEXT NOT NULL, status TEXT NOT NULL,
    input_key TEXT NOT NULL, params TEXT NOT NULL, results TEXT NOT NULL DEFAULT '[]', error TEXT,
    progress INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, completed_at INTEGER
);
CREATE INDEX tasks_by_user ON tasks (user_id, created_at);
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), kind TEXT NOT NULL, amount INTEGER NOT NULL,
    balance INTEGER NOT NULL, reference TEXT NOT NULL, created_at INTEGER NOT NULL, UNIQUE (kind, reference)
);
CREATE INDEX ledger_by_user ON ledger (user_id);
CREATE TABLE idempotency (
    user_id TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, answer TEXT NOT NULL, created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
);
"""


def fill_obvious(path: Path, people: Sequence[Member], logins: int) -> None:
    """Members who paid once and have one task, and a code for each of so many phones."""
    now = time.time_ns() // 1_000_000
    until = now + DAYS * DAY
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        insert(connection, "users (id, phone, created_at)", ((m.id, m.phone, now) for m in people))
        insert(connection, "accounts (user_id, balance, expires_at)", ((m.id, BALANCE - 1, until) for m in people))
        insert(
            connection,
            "orders (id, user_id, plan, price, auto_renew, status, created_at)",
            ((m.order, m.id, "monthly", 9900, 0, "paid", now) for m in people),
        )
        insert(
            connection,
            "tasks (id, user_id, type, status, input_key, params, created_at, updated_at)",
            ((m.task, m.id, "basic_clean", "pending", m.picture, '{"template": "all"}', now, now) for m in people),
        )
        for kind, amount, balance, reference in (
            ("grant", BALANCE, BALANCE, "order"),
            ("charge", -1, BALANCE - 1, "task"),
        ):
            insert(
                connection,
                "ledger (user_id, kind, amount, balance, reference, created_at)",
                ((m.id, kind, amount, balance, getattr(m, reference), now) for m in people),
            )
        codes = ((login_phone(number), CODE, 0, now + DAY) for number in range(logins))
        insert(connection, "codes (phone, code, tries, expires_at)", codes)
        connection.execute("COMMIT")
    finally:
        connection.close()
