"""Measure the writer as docs/decisions/0006 describes: `python -m tests.bench.write_costs`.

It charges over real files with `synchronous=FULL` and nothing else running. Every round measures all variants; the
results are medians over the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from actors.ids import new_id
from actors.quota.actor import commit_batch
from actors.quota.commands import Charge
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.task.tasks import NewTask
from tests.bench.members import insert_rows

USERS, BATCH, ROUNDS, BATCHES = 1000, 32, 7, 40
NOW = 1_795_420_800_000


def charges(users: Sequence[str], count: int) -> list[Charge]:
    return [Charge(NewTask(new_id(), users[n % USERS], "basic_clean", "input", {}, NOW), 1) for n in range(count)]


def transaction(batch: Sequence[Charge]) -> Callable[[Connection], Any]:
    return lambda connection: commit_batch(connection, batch, NOW)


class StatementRecorder:
    """Wraps a connection and records the statements that are executed on it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self.statements = connection, list[tuple[str, Any]]()

    def execute(self, sql: str, arguments: Any = ()) -> Any:
        self.statements.append((sql, arguments))
        return self._connection.execute(sql, arguments)


class RollBack(Exception):
    """Undoes a transaction that was only recorded."""


async def commit_each(db: Database, users: Sequence[str]) -> None:
    for charge in charges(users, BATCH):
        await db.write(transaction([charge]))


async def commit_group(db: Database, users: Sequence[str]) -> None:
    await asyncio.gather(*(db.write(transaction([charge])) for charge in charges(users, BATCH)))


async def commit_set(db: Database, users: Sequence[str]) -> None:
    await db.write(transaction(charges(users, BATCH)))


async def await_each_statement(db: Database, users: Sequence[str]) -> float:
    """The seconds of the statements of `commit_set`, each awaited on an aiosqlite connection."""
    statements: list[tuple[str, Any]] = []

    def record(connection: Connection) -> None:
        recorder = StatementRecorder(connection)
        transaction(charges(users, BATCH))(cast(Connection, recorder))  # it has every method that is used
        statements.extend(recorder.statements)
        raise RollBack

    with suppress(RollBack):
        await db.write(record)
    start = time.perf_counter()
    for sql, arguments in [("BEGIN IMMEDIATE", ()), *statements, ("COMMIT", ())]:
        async with db._writer.execute(sql, arguments) as cursor:
            await cursor.fetchall()
    return time.perf_counter() - start


Variant = Callable[[Database, Sequence[str]], Awaitable[float]]


def timed(variant: Callable[[Database, Sequence[str]], Coroutine[Any, Any, None]]) -> Variant:
    async def seconds(db: Database, users: Sequence[str]) -> float:
        start = time.perf_counter()
        await variant(db, users)
        return time.perf_counter() - start

    return seconds


VARIANTS: dict[str, Variant] = {
    "a transaction and a commit for each charge": timed(commit_each),
    "a transaction for each charge, 32 in one commit": timed(commit_group),
    "32 charges as one set, in one transaction function": timed(commit_set),
    "the same statements, each awaited through aiosqlite": await_each_statement,
}


def _insert_users(connection: Connection, users: Sequence[str]) -> None:
    insert_rows(connection, "users (id, phone, created_at)", ((user, user, 0) for user in users))
    insert_rows(connection, "accounts (user_id, balance, expires_at)", ((user, 1_000_000, 0) for user in users))


async def measure(folder: Path) -> dict[str, list[float]]:
    """The microseconds per charge of each variant, one figure for each round."""
    db = await Database.open(folder)
    users = [new_id() for _ in range(USERS)]
    await db.write(lambda connection: _insert_users(connection, users))
    figures: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(ROUNDS):
        for name, variant in VARIANTS.items():
            seconds = [await variant(db, users) for _ in range(BATCHES)]
            figures[name].append(sum(seconds) / BATCHES / BATCH * 1e6)
    await db.close()
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as folder:
        figures = asyncio.run(measure(Path(folder)))
    for name, rounds in figures.items():
        median, low, high = statistics.median(rounds), min(rounds), max(rounds)
        print(f"{name:52} {median:7.0f} us per charge ({low:.0f} to {high:.0f}), {1e6 / median:7,.0f}/s")


if __name__ == "__main__":
    main()
