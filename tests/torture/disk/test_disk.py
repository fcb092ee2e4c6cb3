"""The power-cut suite relies on this: the simulated disk loses unsynced writes, and only those."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

from tests.torture.disk.disk import Disk, DiskImage, write_image

CUTS = 30  # enough for each kind of survival in image.py


@contextmanager
def database(disk: Disk, folder: Path, synchronous: str) -> Iterator[sqlite3.Connection]:
    with disk.in_use(), closing(sqlite3.connect(folder / "db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("CREATE TABLE numbers (number INTEGER, padding TEXT)")
        connection.execute("PRAGMA wal_checkpoint")  # syncs the table in either mode
        yield connection


def numbers_after_cuts(folder: Path, synchronous: str) -> list[list[int]]:
    """Insert 0 to 4, cut the power many times, and read what is left after each cut."""
    disk = Disk()
    with database(disk, folder, synchronous) as connection:
        for number in range(5):
            connection.execute("INSERT INTO numbers VALUES (?, ?)", (number, "x" * 2000))
        images = [disk.power_cut(Random(seed)) for seed in range(CUTS)]
    return [stored_numbers(image, folder / str(seed)) for seed, image in enumerate(images)]


def stored_numbers(image: DiskImage, folder: Path) -> list[int]:
    write_image(image, folder)
    with closing(sqlite3.connect(folder / "db")) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY 1")]


def test_synced_writes_survive_every_power_cut(tmp_path: Path) -> None:
    assert numbers_after_cuts(tmp_path, "FULL") == [[0, 1, 2, 3, 4]] * CUTS


def test_unsynced_writes_can_be_lost_at_a_power_cut_newest_first(tmp_path: Path) -> None:
    left = numbers_after_cuts(tmp_path, "NORMAL")
    assert all(numbers == list(range(len(numbers))) for numbers in left)
    assert {0, 5} <= {len(numbers) for numbers in left}, "some cuts lose every write, and some lose none"
