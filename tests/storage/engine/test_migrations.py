"""Migrations keep the data of older schemas, in its order."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from storage.audit.findings import audit
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.engine.migrate import UnknownSchema, migrate
from storage.quota import ledger


def run(sql: str, connection: Connection) -> list[Any]:
    return connection.execute(sql).fetchall()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    database = await Database.open(tmp_path)
    await database.close()
    with sqlite3.connect(tmp_path / "darkroom.sqlite3") as newer:
        newer.execute("PRAGMA user_version=999")
    newer.close()
    with pytest.raises(UnknownSchema, match="999"):
        await Database.open(tmp_path)


async def test_a_ledger_of_schema_2_keeps_its_order(tmp_path: Path) -> None:
    """Schema 2 had no growing ids, and here the clock was set back before the second entry."""
    with closing(sqlite3.connect(tmp_path / "darkroom.sqlite3", isolation_level=None)) as old:
        migrate(old, to=2)
        old.execute("INSERT INTO users (id, phone, created_at) VALUES ('u', 'p', 0), ('v', 'q', 0), ('w', 'r', 0)")
        old.execute("INSERT INTO accounts VALUES ('u', 7, 0), ('v', 9, 0), ('w', 0, 0)")
        rows = [("m", "u", 5, 5, 70), ("b", "u", -2, 3, 60), ("c", "v", 9, 9, 60), ("z", "u", 4, 7, 90)]
        old.executemany("INSERT INTO ledger VALUES (?1, ?2, 'adjust', ?3, ?4, ?1, ?5)", rows)
        old.executemany("INSERT INTO adjustments VALUES (?1, ?2, '', ?5)", rows)
    database = await Database.open(tmp_path)
    try:
        pages = {}
        for user in "uvw":
            pages[user] = await database.read(partial(ledger.page, user_id=user, before=None, limit=9))
        rows_by_user = {
            user: [(e.id, e.reference, e.amount, e.balance, e.created_at) for e in pages[user]] for user in pages
        }
        assert rows_by_user == {
            "u": [(90_000, "z", 4, 7, 90), (70_001, "b", -2, 3, 60), (70_000, "m", 5, 5, 70)],
            "v": [(70_002, "c", 9, 9, 60)],
            "w": [],
        }
        assert await database.read(audit) == []
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            await database.write(lambda connection: connection.execute("DELETE FROM ledger").close())
    finally:
        await database.close()


async def test_schema_4_keeps_users_codes_sessions_and_sends(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "darkroom.sqlite3", isolation_level=None)) as old:
        migrate(old, to=3)
        old.execute("INSERT INTO users (id, phone, created_at) VALUES ('u', '13800138000', 0)")
        old.execute("INSERT INTO sessions VALUES ('s', 'u', x'01', 5, 900)")
        sent = [("a", "13800138000", "1.2.3.4", 1, 10), ("b", "13800138000", "1.2.3.4", 0, 20)]
        sent += [("c", "13800139999", "1.2.3.4", 0, 15), ("old", "13800139999", "1.2.3.4", 1, 20 - 86_400_000)]
        old.executemany(
            """
            INSERT INTO codes (id, phone, address, digest, spent, tries, sent_at, expires_at)
            VALUES (?1, ?2, ?3, CAST(?1 AS BLOB), ?4, 3, ?5, 300)
            """,
            sent,
        )
        old.execute("INSERT INTO accounts (user_id, balance, expires_at, last_entry) VALUES ('u', 5, 0, 7)")
        old.execute("INSERT INTO ledger VALUES (7, 'u', 'adjust', 5, 5, 'adjusted', 3, NULL)")
        old.execute("INSERT INTO adjustments VALUES ('adjusted', 'u', '', 3)")
    database = await Database.open(tmp_path)
    try:
        assert await database.read(audit) == []
        expected = {
            "SELECT phone, digest, tries, expires_at FROM codes": [
                ("13800138000", b"b", 3, 300),
                ("13800139999", b"c", 3, 300),
            ],
            "SELECT scope, number, sent_at FROM sends ORDER BY scope, number": [
                *(("address:1.2.3.4", 1, 10), ("address:1.2.3.4", 2, 15), ("address:1.2.3.4", 3, 20)),
                *(("all", 1, 10), ("all", 2, 15), ("all", 3, 20)),
                *(("phone:13800138000", 1, 10), ("phone:13800138000", 2, 20), ("phone:13800139999", 1, 15)),
                *(("prefix:1380013", 1, 10), ("prefix:1380013", 2, 15), ("prefix:1380013", 3, 20)),
            ],
            "SELECT * FROM sessions": [("s", "u", 5, 900, None, 0, 0)],
            "SELECT * FROM refresh_tokens": [(b"\x01", "s", None)],
            "SELECT id, phone, role, banned_at FROM users": [("u", "13800138000", "user", None)],
            "SELECT * FROM ledger": [(7, "u", "adjust", 5, 5, "adjusted", 3, None)],
        }
        for sql, rows in expected.items():
            assert await database.read(partial(run, sql)) == rows, sql
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            await database.write(lambda connection: connection.execute("UPDATE ledger SET amount = 6").close())
    finally:
        await database.close()
