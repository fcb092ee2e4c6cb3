from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from storage.auth import codes
from storage.auth.codes import StoredCode
from storage.engine import heartbeat
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.engine.errors import CommitFailed, StorageError
from storage.engine.group_commit import commit_group
from storage.engine.lock import FolderInUse
from storage.engine.migrate import migrate
from storage.quota import ledger
from storage.quota.ledger import EntryKind, LedgerEntry


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path)
    yield database
    await database.close()


def add(number: int) -> Callable[[Connection], int]:
    def insert(connection: Connection) -> int:
        connection.execute(
            "INSERT INTO users (id, phone, created_at) VALUES (?, ?, 0)", (f"id{number}", f"phone{number}")
        )
        return number

    return insert


def add_then_fail(connection: Connection) -> None:
    connection.execute("INSERT INTO users (id, phone, created_at) VALUES ('bad', 'bad', 0)")
    raise ZeroDivisionError


def orphan(connection: Connection) -> None:
    """A broken reference that SQLite finds at COMMIT only."""
    connection.execute("PRAGMA defer_foreign_keys=ON")
    connection.execute("INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ('s', 'no', 0, 0)")


def phones(connection: Connection) -> list[str]:
    return [phone for (phone,) in connection.execute("SELECT phone FROM users ORDER BY phone")]


def plain(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection)
    return connection


async def test_pragmas_are_those_of_the_design(db: Database) -> None:
    def ask(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    # A transaction may not change them, but it may look.
    assert await db.write(ask) == ["wal", 2, 1, 5000]


async def test_what_was_answered_is_in_the_file(db: Database, tmp_path: Path) -> None:
    await db.write(add(1))
    with sqlite3.connect(tmp_path / "darkroom.sqlite3") as other:
        assert phones(other) == ["phone1"]
    other.close()


async def test_a_transaction_that_fails_is_undone_alone(db: Database) -> None:
    outcomes = await asyncio.gather(db.write(add(1)), db.write(add_then_fail), db.write(add(2)), return_exceptions=True)
    assert outcomes[0] == 1 and isinstance(outcomes[1], ZeroDivisionError) and outcomes[2] == 2
    assert await db.read(phones) == ["phone1", "phone2"]


async def test_functions_that_wait_together_share_a_commit(db: Database) -> None:
    seen: list[int] = []

    def changes_so_far(connection: Connection) -> None:
        seen.append(len(phones(connection)))

    def version(connection: Connection) -> int:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])

    versions = [await db.read(version), await db.read(version)]  # of each reader
    await asyncio.gather(*(db.write(add(n)) for n in range(20)), db.write(changes_so_far))
    assert seen == [20]
    assert [await db.read(version), await db.read(version)] == [v + 1 for v in versions], "they saw one change"


async def test_a_caller_that_is_gone_does_not_stop_its_transaction(db: Database) -> None:
    gone = asyncio.create_task(db.write(add(1)))
    await asyncio.sleep(0)
    gone.cancel()
    await db.write(add(2))
    assert await db.read(phones) == ["phone1", "phone2"]


async def test_readers_cannot_write(db: Database) -> None:
    with pytest.raises(StorageError, match="readonly"):
        await db.read(add(1))


async def test_a_read_sees_one_snapshot(db: Database) -> None:
    await db.write(add(1))
    loop = asyncio.get_running_loop()

    def twice(connection: Connection) -> tuple[list[str], list[str]]:
        before = phones(connection)
        asyncio.run_coroutine_threadsafe(db.write(add(2)), loop).result()
        return before, phones(connection)

    assert await db.read(twice) == (["phone1"], ["phone1"])
    assert await db.read(phones) == ["phone1", "phone2"]


def test_when_sqlite_gives_the_transaction_up_nothing_of_the_group_is_answered(tmp_path: Path) -> None:
    """A full disk may roll back everything; a function that had already run must not be told that it succeeded."""
    connection = plain(tmp_path / "db")

    def gives_up(inner: Connection) -> None:
        inner.execute("INSERT OR ROLLBACK INTO users (id, phone, created_at) VALUES ('id1', 'other', 0)")

    with pytest.raises(StorageError):
        commit_group(connection, [add(1), gives_up, add(2)])
    assert phones(connection) == [] and not connection.in_transaction
    connection.close()


def test_a_full_disk_is_told_to_the_whole_group(tmp_path: Path) -> None:
    connection = plain(tmp_path / "db")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 2}")

    def fills_the_disk(inner: Connection) -> None:
        # A table without triggers: where there are some, SQLite undoes the statement only.
        inner.execute(
            "INSERT INTO codes (phone, digest, expires_at) VALUES (?, x'', 0)",
            ("x" * 100_000,),
        )

    with pytest.raises(StorageError, match="full"):
        commit_group(connection, [add(1), fills_the_disk])
    assert commit_group(connection, [add(2)]) == [2], "what is small enough can still be kept"
    assert phones(connection) == ["phone2"]
    connection.close()


def test_a_commit_that_fails_is_told_as_unknown(tmp_path: Path) -> None:
    connection = plain(tmp_path / "db")
    connection.execute("PRAGMA foreign_keys=ON")

    with pytest.raises(CommitFailed):
        commit_group(connection, [add(1), orphan])
    assert not connection.in_transaction and phones(connection) == []
    connection.close()


async def test_after_a_failed_commit_the_database_takes_no_more_writes(db: Database) -> None:
    with pytest.raises(CommitFailed):
        await db.write(orphan)
    assert isinstance(await db.failed, CommitFailed)
    with pytest.raises(StorageError):
        await db.write(add(1))


async def test_one_process_for_one_folder(db: Database, tmp_path: Path) -> None:
    with pytest.raises(FolderInUse, match=str(os.getpid())):
        await Database.open(tmp_path)


async def test_the_folder_is_free_again_after_close(tmp_path: Path) -> None:
    for number in range(2):
        database = await Database.open(tmp_path)
        await database.write(add(number))
        await database.close()
    assert not (tmp_path / "darkroom.sqlite3-wal").exists(), "the last connection folds the log into the database"


async def test_a_damaged_file_is_refused_with_words(tmp_path: Path) -> None:
    database = await Database.open(tmp_path)
    for number in range(200):
        await database.write(add(number))
    await database.close()
    path = tmp_path / "darkroom.sqlite3"
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 30 * 4096] = os.urandom(27 * 4096)
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        await Database.open(tmp_path)


async def test_entries_are_numbered_in_the_order_of_their_writing_whatever_the_clock_does(db: Database) -> None:
    def fill(connection: Connection) -> None:
        connection.execute("INSERT INTO users (id, phone, created_at) VALUES ('u', 'p', 0)")
        for now, references in ((5_000, "ab"), (9_000, "c"), (2_000, "de"), (9_000, "f"), (9_001, "g")):
            for reference in references:
                entry = LedgerEntry(ledger.next_id(connection, now), "u", EntryKind.GRANT, 1, 1, reference, now, None)
                ledger.append(connection, [entry])

    await db.write(fill)
    rows = await db.read(
        lambda connection: connection.execute("SELECT id, reference FROM ledger ORDER BY id").fetchall()
    )
    assert [reference for _, reference in rows] == [*"abcdefg"]
    assert rows[0][0] == 5_000_000 and rows[2][0] == 9_000_000 and rows[-1][0] == 9_001_000, (
        "by the clock, where it is ahead"
    )


async def test_a_broken_chain_shows_nobody_what_is_not_theirs(db: Database) -> None:
    def fill(connection: Connection) -> None:
        connection.execute("INSERT INTO users (id, phone, created_at) VALUES ('u', 'p', 0), ('v', 'q', 0)")
        theirs, own = (
            LedgerEntry(1, "u", EntryKind.GRANT, 1, 1, "a", 0, None),
            LedgerEntry(2, "v", EntryKind.GRANT, 1, 1, "b", 0, 1),
        )
        ledger.append(connection, [theirs, own])
        connection.execute("INSERT INTO accounts VALUES ('u', 1, 0, 1), ('v', 1, 0, 2)")

    await db.write(fill)
    page = await db.read(lambda connection: ledger.page(connection, "v", None, 9))
    assert [entry.reference for entry in page] == ["b"]


async def test_the_ledger_is_append_only(db: Database) -> None:
    def fill(connection: Connection) -> None:
        connection.execute("INSERT INTO users (id, phone, created_at) VALUES ('u', 'p', 0)")
        connection.execute("INSERT INTO ledger VALUES (1, 'u', 'grant', 1, 1, 'o', 0, NULL)")

    await db.write(fill)
    for statement in ("UPDATE ledger SET amount = 2", "DELETE FROM ledger"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            await db.write(lambda connection, sql=statement: connection.execute(sql).close())  # type: ignore[misc]


async def test_the_heartbeat_writes(db: Database) -> None:
    for moment in (1, 2):
        await db.write(lambda connection, now=moment: heartbeat.beat(connection, now))  # type: ignore[misc]
    assert await db.read(lambda c: c.execute("SELECT id, beat_at FROM heartbeat").fetchall()) == [(1, 2)]


async def test_a_function_may_raise_what_a_future_cannot_carry(db: Database) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await db.write(lambda connection: next(iter(())))
    assert await db.write(add(1)) == 1


class LastBreath(sqlite3.Connection):
    """A connection on whose disk nothing can be written at the moment of COMMIT, nor rolled back."""

    def execute(self, sql: str, parameters: Sequence[str] = ()) -> sqlite3.Cursor:  # type: ignore[override]
        if sql in ("COMMIT", "ROLLBACK"):
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)


def test_a_commit_that_cannot_even_be_undone_is_told_as_unknown(tmp_path: Path) -> None:
    plain(tmp_path / "db").close()
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None, factory=LastBreath)
    with pytest.raises(CommitFailed, match="disk I/O error"):
        commit_group(connection, [add(1)])
    connection.close()


async def test_a_code_is_spent_once_and_not_in_the_place_of_a_newer_one(db: Database) -> None:
    def spend_some(connection: Connection) -> list[bool]:
        codes.replace(connection, StoredCode("13800138000", b"older", 9))
        codes.replace(connection, StoredCode("13800138000", b"newer", 9))
        return [codes.consume(connection, "13800138000", digest) for digest in (b"older", b"newer", b"newer")]

    assert await db.write(spend_some) == [False, True, False]
