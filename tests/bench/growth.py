"""Compare a large with a small database: `make bench-growth`, or `python -m tests.bench.growth --help`.

Two servers in their own processes, one over 5 million tasks and one over 10 thousand, receive the same calls in turn
from randomly picked users. The result is the ratio of the medians of each call. Exits with 1 when a ratio is above 1.3,
or when a database is not sound afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from storage.audit.findings import audit
from storage.audit.open import open_for_audit
from tests.bench.growth_calls import CALLS, Call, ServerUnderTest
from tests.bench.sampled_users import sample_users
from tests.bench.seed_data import PARTS, Size, insert_seed_data
from tests.support.process import server_process
from tests.support.server import SECRETS

SIZES = {"big": Size(users=100_000, tasks_per_user=50), "small": Size(users=1_000, tasks_per_user=10)}
MAX_RATIO = 1.3
SAMPLED_USERS = 1_000

console = Console()


@dataclass(slots=True)
class Comparison:
    """The median seconds of each round, over the big and over the small database."""

    big: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(self.big) / statistics.median(self.small)


async def compare(folder: Path, rounds: int, calls: int, concurrency: int) -> dict[str, Comparison]:
    """Compare the databases folder/big and folder/small, after one round to warm up."""
    comparisons = {name: Comparison() for name in CALLS}
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(_running_server(folder / name)) for name in SIZES]
        for number in range(rounds + 1):
            for name, call in CALLS.items():
                big, small = await _call_in_turn(call, servers, calls, concurrency)
                if number:
                    comparisons[name].big.append(statistics.median(big))
                    comparisons[name].small.append(statistics.median(small))
    return comparisons


async def _call_in_turn(
    call: Call, servers: Sequence[ServerUnderTest], calls: int, concurrency: int
) -> tuple[list[float], list[float]]:
    """The seconds of `calls` calls to each server, alternately, so that other load on the machine affects both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    numbers = iter(range(calls))

    async def client() -> None:
        for number in numbers:
            for index in ((0, 1), (1, 0))[number % 2]:
                seconds[index].append(await servers[index].seconds(call))

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return seconds


@asynccontextmanager
async def _running_server(data: Path) -> AsyncIterator[ServerUnderTest]:
    secrets = {f"SECRETS__{name.upper()}": secret for name, secret in SECRETS.items()}
    async with server_process(data, TASKS__WORKERS="0", **secrets) as server, aiohttp.ClientSession() as http:
        rng = random.Random(1)
        users = sample_users(data, server.base, SAMPLED_USERS, rng)
        with open_for_audit(data) as connection:
            yield ServerUnderTest(server.base, http, connection, users, rng)


def create_data_folder(data: Path, size: Size) -> None:
    """Create a data folder with seed data and show the progress of each part."""
    data.mkdir()
    start = time.perf_counter()
    columns = (TextColumn(data.name), TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bars = {part: progress.add_task(part, total=None) for part in PARTS}

        def report_progress(part: str, done: int, total: int) -> None:
            progress.update(bars[part], completed=done, total=total)

        with closing(sqlite3.connect(data / "darkroom.sqlite3", isolation_level=None)) as connection:
            insert_seed_data(connection, size, time.time_ns() // 1_000_000, report_progress)
    console.print(f"{data.name}: {size.all_tasks:,} tasks of {size.users:,} users in {_seconds_since(start)}")


def is_sound(data: Path) -> bool:
    """Audit the database and print what is wrong."""
    start = time.perf_counter()
    with open_for_audit(data) as connection:
        findings = audit(connection)
    for finding in findings:
        console.print(f"{data.name}: {finding.rule}: {finding.total} violations, for example {finding.violations[0]}")
    console.print(f"{data.name}: {'broken' if findings else 'sound'}, audited in {_seconds_since(start)}")
    return not findings


def _table(comparisons: dict[str, Comparison], concurrency: int) -> Table:
    title = f"Median milliseconds of a call (range of the rounds), {concurrency} at once"
    table = Table(title=f"{title}; the ratio must be at most {MAX_RATIO}")
    table.add_column("call")
    for column in (*(f"{size.all_tasks:,} tasks" for size in SIZES.values()), "ratio"):
        table.add_column(column, justify="right")
    for name, comparison in comparisons.items():
        ratio = f"[{'green' if comparison.ratio <= MAX_RATIO else 'bold red'}]{comparison.ratio:.2f}[/]"
        table.add_row(name, _milliseconds(comparison.big), _milliseconds(comparison.small), ratio)
    return table


def _milliseconds(seconds: Sequence[float]) -> str:
    low, median, high = (f"{1000 * figure(seconds):.2f}" for figure in (min, statistics.median, max))
    return f"{median} ({low}-{high})"


def _seconds_since(start: float) -> str:
    return f"{time.perf_counter() - start:.0f} s"


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="darkroom-growth-") as temporary:
        folder = options.keep or Path(temporary)
        for name, size in SIZES.items():
            if not (folder / name).exists():
                create_data_folder(folder / name, size)
        reached = True
        for concurrency in options.at_once:  # 1 shows the cost of a call, more show the cost of a batch
            comparisons = asyncio.run(compare(folder, options.rounds, options.calls, concurrency))
            console.print(_table(comparisons, concurrency))
            reached = reached and all(comparison.ratio <= MAX_RATIO for comparison in comparisons.values())
        sound = [is_sound(folder / name) for name in SIZES]
    return 0 if reached and all(sound) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the calls of Darkroom over a large and a small database.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=200, help="number of calls of each kind in a round")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 16], help="number of concurrent calls")
    parser.add_argument("--keep", type=Path, help="folder for the databases; existing ones in it are used again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
