"""What docs/decisions/ says was measured of the writer: `python -m tests.bench.write_costs`.

Charges over real files with `synchronous=FULL`, nothing else running: in rounds of all variants, medians of each.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from actors.ids import new_id
from actors.quota.actor import commit_batch
from actors.quota.commands import Charge
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task.tasks import NewTask

PEOPLE, BATCH, ROUNDS, BATCHES = 1000, 32, 7, 40
NOW = 1_795_420_800_000


def charges(people: Sequence[str], many: int) -> list[Charge]:
    return [Charge(NewTask(new_id(), people[n % PEOPLE], "basic_clean", "input", {}, NOW), 1) for n in range(many)]


def settling(batch: Sequence[Charge]) -> Callable[[Connection], Any]:
    return lambda connection: commit_batch(connection, batch, NOW)


class Recorder:
    """Stands for a connection, and keeps what is executed on it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self.said = connection, list[tuple[str, Any]]()

    def execute(self, sql: str, arguments: Any = ()) -> Any:
        self.said.append((sql, arguments))
        return self._connection.execute(sql, arguments)


class Undone(Exception):
    pass


async def one_commit_each(db: Database, people: Sequence[str]) -> None:
    for charge in charges(people, BATCH):
        await db.write(settling([charge]))


async def a_group(db: Database, people: Sequence[str]) -> None:
    await asyncio.gather(*(db.write(settling([charge])) for charge in charges(people, BATCH)))


async def one_set(db: Database, people: Sequence[str]) -> None:
    await db.write(settling(charges(people, BATCH)))


async def awaited(db: Database, people: Sequence[str]) -> None:
    """The statements of `one_set`, each awaited on an aiosqlite connection of its own thread."""
    said: list[tuple[str, Any]] = []

    def record(connection: Connection) -> None:
        recorder = Recorder(connection)
        settling(charges(people, BATCH))(cast(Connection, recorder))  # it has all that is used of one
        said.extend(recorder.said)
        raise Undone

    with suppress(Undone):
        await db.write(record)
    began = time.perf_counter()
    for sql, arguments in [("BEGIN IMMEDIATE", ()), *said, ("COMMIT", ())]:
        async with db._writer.execute(sql, arguments) as cursor:
            await cursor.fetchall()
    raise _Took(time.perf_counter() - began)


class _Took(Exception):
    """The seconds that count, of something that had to be prepared first."""


Variant = Callable[[Database, Sequence[str]], Coroutine[Any, Any, None]]
VARIANTS: dict[str, Variant] = {
    "a transaction and a commit for each charge": one_commit_each,
    "a transaction for each charge, 32 in one commit": a_group,
    "32 charges as one set, in one transaction function": one_set,
    "the same statements, each awaited through aiosqlite": awaited,
}


async def measure(folder: Path) -> dict[str, list[float]]:
    """Microseconds a charge, a figure for each round."""
    db = await Database.open(folder)
    people = [new_id() for _ in range(PEOPLE)]
    await db.write(lambda c: c.executemany("INSERT INTO users VALUES (?, ?, 0)", [(p, p) for p in people]))
    await db.write(lambda c: c.executemany("INSERT INTO accounts VALUES (?, 1000000, 0, NULL)", [(p,) for p in people]))
    figures: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(ROUNDS):
        for name, variant in VARIANTS.items():
            seconds = [await _seconds(variant, db, people) for _ in range(BATCHES)]
            figures[name].append(sum(seconds) / BATCHES / BATCH * 1e6)
    await db.close()
    return figures


async def _seconds(variant: Variant, db: Database, people: Sequence[str]) -> float:
    began = time.perf_counter()
    try:
        await variant(db, people)
    except _Took as took:
        return float(took.args[0])
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as folder:
        figures = asyncio.run(measure(Path(folder)))
    for name, rounds in figures.items():
        middle, low, high = statistics.median(rounds), min(rounds), max(rounds)
        print(f"{name:52} {middle:7.0f} us a charge ({low:.0f} to {high:.0f}), {1e6 / middle:7,.0f}/s")


if __name__ == "__main__":
    main()
