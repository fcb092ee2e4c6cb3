"""One writer, readers and group commit over real SQLite files."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.engine.errors import CommitFailed, StorageError
from storage.engine.group_commit import commit_group
from storage.engine.lock import FolderInUse
from storage.engine.migrate import migrate


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
    """Add a row with a broken foreign key that SQLite detects only at COMMIT."""
    connection.execute("PRAGMA defer_foreign_keys=ON")
    connection.execute("INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ('s', 'no', 0, 0)")


def phones(connection: Connection) -> list[str]:
    return [phone for (phone,) in connection.execute("SELECT phone FROM users ORDER BY phone")]


def connect_migrated(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection)
    return connection


async def test_the_writer_has_the_pragmas_of_the_design(db: Database) -> None:
    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await db.write(pragmas) == ["wal", 2, 1, 5000]


async def test_a_result_is_returned_after_the_commit(db: Database, tmp_path: Path) -> None:
    await db.write(add(1))
    with sqlite3.connect(tmp_path / "darkroom.sqlite3") as other:
        assert phones(other) == ["phone1"]
    other.close()


async def test_a_failed_transaction_is_undone_alone(db: Database) -> None:
    outcomes = await asyncio.gather(db.write(add(1)), db.write(add_then_fail), db.write(add(2)), return_exceptions=True)
    assert outcomes[0] == 1 and isinstance(outcomes[1], ZeroDivisionError) and outcomes[2] == 2
    assert await db.read(phones) == ["phone1", "phone2"]


async def test_waiting_transactions_share_a_commit(db: Database) -> None:
    user_counts: list[int] = []

    def changes_so_far(connection: Connection) -> None:
        user_counts.append(len(phones(connection)))

    def version(connection: Connection) -> int:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])

    versions = [await db.read(version), await db.read(version)]  # one of each reader
    await asyncio.gather(*(db.write(add(n)) for n in range(20)), db.write(changes_so_far))
    assert user_counts == [20]
    assert [await db.read(version), await db.read(version)] == [v + 1 for v in versions], (
        "both readers saw a single commit"
    )


async def test_a_cancelled_caller_does_not_stop_its_transaction(db: Database) -> None:
    caller = asyncio.create_task(db.write(add(1)))
    await asyncio.sleep(0)
    caller.cancel()
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


def test_when_sqlite_rolls_back_no_transaction_of_the_group_succeeds(tmp_path: Path) -> None:
    """On a full disk SQLite may roll everything back, including the functions that ran before the failure."""
    connection = connect_migrated(tmp_path / "db")

    def rolls_back(inner: Connection) -> None:
        inner.execute("INSERT OR ROLLBACK INTO users (id, phone, created_at) VALUES ('id1', 'other', 0)")

    with pytest.raises(StorageError):
        commit_group(connection, [add(1), rolls_back, add(2)])
    assert phones(connection) == [] and not connection.in_transaction
    connection.close()


def test_a_full_disk_fails_the_whole_group(tmp_path: Path) -> None:
    connection = connect_migrated(tmp_path / "db")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 2}")

    def fills_the_disk(inner: Connection) -> None:
        # The table has no triggers. With triggers SQLite would undo only the statement.
        inner.execute(
            "INSERT INTO codes (phone, digest, expires_at) VALUES (?, x'', 0)",
            ("x" * 100_000,),
        )

    with pytest.raises(StorageError, match="full"):
        commit_group(connection, [add(1), fills_the_disk])
    assert commit_group(connection, [add(2)]) == [2], "a small transaction still fits"
    assert phones(connection) == ["phone2"]
    connection.close()


def test_a_failed_commit_raises_commit_failed(tmp_path: Path) -> None:
    connection = connect_migrated(tmp_path / "db")
    connection.execute("PRAGMA foreign_keys=ON")

    with pytest.raises(CommitFailed):
        commit_group(connection, [add(1), orphan])
    assert not connection.in_transaction and phones(connection) == []
    connection.close()


async def test_after_a_failed_commit_the_database_rejects_writes(db: Database) -> None:
    with pytest.raises(CommitFailed):
        await db.write(orphan)
    assert isinstance(await db.failed, CommitFailed)
    with pytest.raises(StorageError):
        await db.write(add(1))


async def test_only_one_process_can_open_a_folder(db: Database, tmp_path: Path) -> None:
    with pytest.raises(FolderInUse, match=str(os.getpid())):
        await Database.open(tmp_path)


async def test_the_folder_is_free_again_after_close(tmp_path: Path) -> None:
    for number in range(2):
        database = await Database.open(tmp_path)
        await database.write(add(number))
        await database.close()
    assert not (tmp_path / "darkroom.sqlite3-wal").exists(), "closing copies the WAL into the database"


async def test_a_damaged_file_is_refused_with_a_message(tmp_path: Path) -> None:
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


async def test_a_transaction_that_raises_stop_iteration_fails_alone(db: Database) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await db.write(lambda connection: next(iter(())))
    assert await db.write(add(1)) == 1


class FailingCommitConnection(sqlite3.Connection):
    """A connection whose COMMIT and ROLLBACK both fail."""

    def execute(self, sql: str, parameters: Sequence[str] = ()) -> sqlite3.Cursor:  # type: ignore[override]
        if sql in ("COMMIT", "ROLLBACK"):
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)


def test_a_commit_that_cannot_be_rolled_back_raises_commit_failed(tmp_path: Path) -> None:
    connect_migrated(tmp_path / "db").close()
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None, factory=FailingCommitConnection)
    with pytest.raises(CommitFailed, match="disk I/O error"):
        commit_group(connection, [add(1)])
    connection.close()
