"""The disk that obeys the test does obey."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.torture.disk.disk import Disk, Image, put
from tests.torture.disk.faults import Fault, Trouble

CUTS = 30  # enough for each way to survive


@contextmanager
def database(disk: Disk, folder: Path, synchronous: str = "FULL") -> Iterator[sqlite3.Connection]:
    with disk.in_use(), closing(sqlite3.connect(folder / "db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("CREATE TABLE numbers (number INTEGER, padding TEXT)")
        yield connection


def add(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("INSERT INTO numbers VALUES (?, ?)", (number, "x" * 2000))


def found(image: Image, folder: Path) -> list[int]:
    put(image, folder)
    with closing(sqlite3.connect(folder / "db")) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY 1")]


def test_what_was_synced_survives_every_cut(tmp_path: Path) -> None:
    disk = Disk()
    with database(disk, tmp_path) as connection:
        for number in range(5):
            add(connection, number)
        cuts = [disk.power_cut(Random(seed)) for seed in range(CUTS)]
    for seed, image in enumerate(cuts):
        assert found(image, tmp_path / str(seed)) == [0, 1, 2, 3, 4]


def test_what_was_not_synced_may_be_lost_but_only_from_the_end(tmp_path: Path) -> None:
    disk = Disk()
    with database(disk, tmp_path, "NORMAL") as connection:
        connection.execute("PRAGMA wal_checkpoint")  # which syncs the table into being
        for number in range(5):
            add(connection, number)
        cuts = [disk.power_cut(Random(seed)) for seed in range(CUTS)]
    kept = [found(image, tmp_path / str(seed)) for seed, image in enumerate(cuts)]
    assert all(numbers == list(range(len(numbers))) for numbers in kept)
    assert {0, 5} <= {len(numbers) for numbers in kept}, "sometimes all is lost, and sometimes nothing"


def test_a_torn_write_leaves_what_was_there_or_what_was_written(tmp_path: Path) -> None:
    disk = Disk()
    with database(disk, tmp_path, "NORMAL") as connection:
        add(connection, 1)
        whole = Path(tmp_path / "db-wal").read_bytes()
        cuts = [disk.power_cut(Random(seed))["db-wal"] for seed in range(CUTS)]
    assert len(set(cuts)) > CUTS / 4
    for cut in cuts:
        assert all(byte in (0, written) for byte, written in zip(cut, whole, strict=False))


def test_a_deleted_file_is_gone_when_the_folder_was_synced(tmp_path: Path) -> None:
    disk = Disk()
    with database(disk, tmp_path) as connection:
        add(connection, 1)
        assert all("db-journal" not in disk.power_cut(Random(seed)) for seed in range(CUTS))


@pytest.mark.parametrize("trouble", Trouble)
@pytest.mark.parametrize("lasting", [False, True])
def test_the_operation_that_was_named_fails(tmp_path: Path, trouble: Trouble, lasting: bool) -> None:
    dry = Disk(fault=Fault(trouble, 10**9, lasting))
    (tmp_path / "dry").mkdir()
    with database(dry, tmp_path / "dry"):
        made = dry.concerned
    disk = Disk(fault=Fault(trouble, made + 1, lasting))
    with database(disk, tmp_path) as connection:
        with pytest.raises(sqlite3.OperationalError, match=r"I/O error|full"):
            add(connection, 1)
        assert disk.faults >= 1
        if lasting:
            with pytest.raises(sqlite3.OperationalError, match=r"I/O error|full"):
                add(connection, 2)
        else:
            add(connection, 2)
            assert connection.execute("SELECT number FROM numbers").fetchall() == [(2,)]


def test_later_connections_are_on_the_ordinary_disk_again(tmp_path: Path) -> None:
    disk = Disk()
    with database(disk, tmp_path):
        pass
    before = disk.operations
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        add(connection, 1)
        connection.commit()
    assert disk.operations == before
