"""The ids of ledger entries, the chain of a user's entries, and the append-only table."""

from __future__ import annotations

import sqlite3

import pytest

from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.quota import ledger
from storage.quota.ledger import EntryKind, LedgerEntry


async def test_entry_ids_grow_even_when_the_clock_is_set_back(db: Database) -> None:
    def insert(connection: Connection) -> None:
        connection.execute("INSERT INTO users (id, phone, created_at) VALUES ('u', 'p', 0)")
        for now, references in ((5_000, "ab"), (9_000, "c"), (2_000, "de"), (9_000, "f"), (9_001, "g")):
            for reference in references:
                entry = LedgerEntry(ledger.next_id(connection, now), "u", EntryKind.GRANT, 1, 1, reference, now, None)
                ledger.append(connection, [entry])

    await db.write(insert)
    rows = await db.read(
        lambda connection: connection.execute("SELECT id, reference FROM ledger ORDER BY id").fetchall()
    )
    assert [reference for _, reference in rows] == [*"abcdefg"]
    assert rows[0][0] == 5_000_000 and rows[2][0] == 9_000_000 and rows[-1][0] == 9_001_000, (
        "an id follows the clock when the clock is ahead"
    )


async def test_a_broken_chain_does_not_show_another_users_entries(db: Database) -> None:
    def insert(connection: Connection) -> None:
        connection.execute("INSERT INTO users (id, phone, created_at) VALUES ('u', 'p', 0), ('v', 'q', 0)")
        foreign, own = (
            LedgerEntry(1, "u", EntryKind.GRANT, 1, 1, "a", 0, None),
            LedgerEntry(2, "v", EntryKind.GRANT, 1, 1, "b", 0, 1),
        )
        ledger.append(connection, [foreign, own])
        connection.execute("INSERT INTO accounts VALUES ('u', 1, 0, 1), ('v', 1, 0, 2)")

    await db.write(insert)
    page = await db.read(lambda connection: ledger.page(connection, "v", None, 9))
    assert [entry.reference for entry in page] == ["b"]


async def test_the_ledger_is_append_only(db: Database) -> None:
    def insert(connection: Connection) -> None:
        connection.execute("INSERT INTO users (id, phone, created_at) VALUES ('u', 'p', 0)")
        connection.execute("INSERT INTO ledger VALUES (1, 'u', 'grant', 1, 1, 'o', 0, NULL)")

    await db.write(insert)
    for statement in ("UPDATE ledger SET amount = 2", "DELETE FROM ledger"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            await db.write(lambda connection, sql=statement: connection.execute(sql).close())  # type: ignore[misc]
