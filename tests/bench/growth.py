"""Does anything get slower as the database grows? `make bench-growth`, or `python -m tests.bench.growth --help`.

Two servers in processes of their own, one over 5 million tasks and one over 10 thousand, get the same calls in turns,
from people picked at random all over. What counts is the ratio of the medians, call by call. Exits with 1 where a ratio
is above 1.3, or where a database is not sound afterwards.
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
from tests.bench.growth_calls import CALLS, Call, House
from tests.bench.sampled_users import visitors
from tests.bench.seed_data import Size, fill
from tests.support.process import server_process
from tests.support.server import SECRETS

BIG, SMALL = Size(people=100_000, tasks=50), Size(people=1_000, tasks=10)
GOAL = 1.3
VISITORS = 1_000

console = Console()


@dataclass(slots=True)
class Compared:
    """Medians of the rounds, in seconds."""

    big: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(self.big) / statistics.median(self.small)


async def compare(folder: Path, rounds: int, times: int, at_once: int) -> dict[str, Compared]:
    """Round after round, the first only to warm up."""
    compared = {name: Compared() for name in CALLS}
    async with AsyncExitStack() as stack:
        houses = [await stack.enter_async_context(_house(folder / name)) for name in ("big", "small")]
        for number in range(rounds + 1):
            for name, call in CALLS.items():
                big, small = await _in_turns(call, houses, times, at_once)
                if number:
                    compared[name].big.append(statistics.median(big))
                    compared[name].small.append(statistics.median(small))
    return compared


async def _in_turns(call: Call, houses: Sequence[House], times: int, at_once: int) -> tuple[list[float], list[float]]:
    """The seconds of `times` calls to each house, one after the other: whatever else the machine does meets both."""
    taken: tuple[list[float], list[float]] = ([], [])
    numbers = iter(range(times))

    async def take_turns() -> None:
        for number in numbers:
            for which in ((0, 1), (1, 0))[number % 2]:
                taken[which].append(await houses[which].seconds(call))

    await asyncio.gather(*(take_turns() for _ in range(at_once)))
    return taken


@asynccontextmanager
async def _house(data: Path) -> AsyncIterator[House]:
    secrets = {f"SECRETS__{name.upper()}": secret for name, secret in SECRETS.items()}
    async with server_process(data, TASKS__WORKERS="0", **secrets) as server, aiohttp.ClientSession() as http:
        chance = random.Random(1)
        callers = visitors(data, server.base, VISITORS, chance)
        with open_for_audit(data) as connection:
            yield House(server.base, http, connection, callers, chance)


def make(data: Path, size: Size) -> None:
    """Fill a new data folder, with a bar for each part."""
    data.mkdir()
    begun = time.perf_counter()
    columns = (TextColumn(data.name), TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bars = {what: progress.add_task(what, total=None) for what in ("people", "tasks", "indexes")}
        with closing(sqlite3.connect(data / "darkroom.sqlite3", isolation_level=None)) as connection:
            fill(
                connection,
                size,
                time.time_ns() // 1_000_000,
                lambda what, done, of: progress.update(bars[what], completed=done, total=of),
            )
    console.print(f"{data.name}: {size.all_tasks:,} tasks of {size.people:,} people in {_since(begun)}")


def check(data: Path) -> bool:
    """Whether the database is still sound."""
    begun = time.perf_counter()
    with open_for_audit(data) as connection:
        findings = audit(connection)
    for finding in findings:
        console.print(f"{data.name}: {finding.rule}: {finding.total} offenders, such as {finding.violations[0]}")
    console.print(f"{data.name}: {'broken' if findings else 'sound'}, audited in {_since(begun)}")
    return not findings


def table(compared: dict[str, Compared], at_once: int) -> Table:
    what = f"Median milliseconds of a call (range of the rounds), {at_once} at once"
    shown = Table(title=f"{what}; the goal is a ratio up to {GOAL}")
    shown.add_column("call")
    for column in (f"{BIG.all_tasks:,} tasks", f"{SMALL.all_tasks:,} tasks", "ratio"):
        shown.add_column(column, justify="right")
    for name, measured in compared.items():
        ratio = f"[{'green' if measured.ratio <= GOAL else 'bold red'}]{measured.ratio:.2f}[/]"
        shown.add_row(name, _milliseconds(measured.big), _milliseconds(measured.small), ratio)
    return shown


def _milliseconds(seconds: Sequence[float]) -> str:
    low, middle, high = (f"{1000 * of(seconds):.2f}" for of in (min, statistics.median, max))
    return f"{middle} ({low}-{high})"


def _since(begun: float) -> str:
    return f"{time.perf_counter() - begun:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description="Does anything get slower as the database grows?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=200, help="calls of a kind in a round")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 16], help="calls under way at the same time")
    parser.add_argument("--keep", type=Path, help="folder for the databases; what it holds already is used again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-growth-") as temporary:
        folder = options.keep or Path(temporary)
        for name, size in (("big", BIG), ("small", SMALL)):
            if not (folder / name).exists():
                make(folder / name, size)
        good = True
        for at_once in options.at_once:  # one by one shows what a call costs, many at once what a batch of them does
            compared = asyncio.run(compare(folder, options.rounds, options.calls, at_once))
            console.print(table(compared, at_once))
            good = good and all(measured.ratio <= GOAL for measured in compared.values())
        sound = [check(folder / name) for name in ("big", "small")]
    return 0 if good and all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
