"""The database of the baseline implementation: its tables, with the same members as Darkroom's."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.members import BALANCE, CODE, DAY, DAYS, Member, insert_rows, login_phone

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


def create_baseline_database(path: Path, members: Sequence[Member], logins: int) -> None:
    """Insert members with one paid order and one task each, and a code for each of `logins` phones."""
    now = time.time_ns() // 1_000_000
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        _insert_users_and_balances(connection, members, now)
        _insert_orders_and_tasks(connection, members, now)
        codes = ((login_phone(number), CODE, 0, now + DAY) for number in range(logins))
        insert_rows(connection, "codes (phone, code, tries, expires_at)", codes)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _insert_users_and_balances(connection: sqlite3.Connection, members: Sequence[Member], now: int) -> None:
    until = now + DAYS * DAY
    insert_rows(connection, "users (id, phone, created_at)", ((m.id, m.phone, now) for m in members))
    insert_rows(connection, "accounts (user_id, balance, expires_at)", ((m.id, BALANCE - 1, until) for m in members))
    ledger = "ledger (user_id, kind, amount, balance, reference, created_at)"
    insert_rows(connection, ledger, ((m.id, "grant", BALANCE, BALANCE, m.order, now) for m in members))
    insert_rows(connection, ledger, ((m.id, "charge", -1, BALANCE - 1, m.task, now) for m in members))


def _insert_orders_and_tasks(connection: sqlite3.Connection, members: Sequence[Member], now: int) -> None:
    insert_rows(
        connection,
        "orders (id, user_id, plan, price, auto_renew, status, created_at)",
        ((m.order, m.id, "monthly", 9900, 0, "paid", now) for m in members),
    )
    insert_rows(
        connection,
        "tasks (id, user_id, type, status, input_key, params, created_at, updated_at)",
        ((m.task, m.id, "basic_clean", "pending", m.picture, '{"template": "all"}', now, now) for m in members),
    )
