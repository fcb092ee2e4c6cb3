"""docs/performance.md: the results, the machine, and the limits of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.figures import LoadProfile, Results, Spread, Target
from tests.bench.machine import Machine
from tests.bench.servers import BARE, BASELINE, DARKROOM, NAMES

TITLES = {BARE: "(a) bare aiohttp", BASELINE: "(b) baseline", DARKROOM: "(c) Darkroom"}

_HEAD = """# Performance

`make bench` writes this file. Edit tests/bench instead.

Three servers answer the same calls over real HTTP, on one machine and in one run:

- **(a) bare aiohttp** reads the body and answers the same JSON through `web.json_response`. It shows the cost of the
  framework.
- **(b) baseline** is a simple, competent implementation (tests/bench/baseline.py): PyJWT, aiosqlite, one transaction
  per request behind a lock, the same durability.
- **(c) Darkroom** is `darkroom serve` with every feature on: `synchronous=FULL`, tokens, validation, idempotency keys,
  signed URLs, the ledger.

![Requests per second and response times of the three servers](performance.png)
"""

_LIMITS = """## Limits of these figures

- The load generator uses one core of the machine. The server, however many threads it has, shares the other core with
  the kernel's network stack. With more cores the bare server would gain nothing and Darkroom a little, because its
  writer thread runs beside its event loop except where Python's GIL prevents it.
- wrk is a closed loop: a connection sends the next request when it has its response. A server that stalls receives
  fewer requests, so its p99 looks better than users would experience it. With 256 connections the response time is
  mostly waiting time: connections divided by requests per second.
- Everything runs over loopback: no TLS, no proxy, no network.
- The databases are small: 1,000 users with one task each, and what a run adds in a few seconds. `make bench-growth`
  measures large ones.
- The targets are ratios within one run. Rates depend on this machine, and the neighbours of a virtual machine change
  them. Therefore the ranges are given, and the servers are measured in turn.
- Every login is by a phone without a user, which costs more than a login of an existing user. Every task that is read
  is pending.
- The kernel counts CPU time in ticks of 10 ms. The figures include the kernel's work for the server, but not the
  picture processes and the kernel's own threads. Peak memory is that of the server process alone.
- Darkroom runs in development mode, without picture workers; the sandbox is loaded but not called.
- After each run of creations a check reads the database: it must hold at least one task for each answered creation, and
  all sums must be right.
"""

_REPEAT = """## How to repeat it

The benchmark needs `wrk` (`apt install wrk`, `brew install wrk`). It runs on Linux only, because it reads threads and
memory from /proc.

```
make bench                                     # exits with 1 when a target is missed
.venv/bin/python -m tests.bench.load --quick   # a first impression in two or three minutes, with 64 connections only
.venv/bin/python -m tests.bench.overload       # only the overload
```

This report is from {rounds}, each of {measurements} measurements of {seconds} s after a second of warming up. Each
measurement starts a server process on a fresh copy of the same data. A refused or failed request ends the benchmark
without a report.
"""


def write_report(
    results: Results, targets: Sequence[Target], overload: str, machine: Machine, rounds: int, seconds: int
) -> str:
    """`overload` is the section about the overload."""
    measurements = len(results.profiles()) * len(NAMES)
    return "\n".join(
        [
            _HEAD,
            "## Targets\n",
            targets_table(targets),
            "Ratios are of medians, at 64 connections.\n",
            f"## Requests per second\n\nMedian (lowest to highest) of {_rounds(rounds)}.\n",
            _rates(results),
            "## Response time\n\np50 / p99 in milliseconds, medians.\n",
            _latencies(results),
            "## CPU microseconds per request, by thread\n",
            _cpu(results),
            "## Peak resident memory\n\nMB, the highest of all measurements.\n",
            _memory(results),
            overload,
            "## The machine\n",
            table(("", ""), machine.lines()),
            _REPEAT.format(rounds=_rounds(rounds), seconds=seconds, measurements=measurements),
            _LIMITS,
        ]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. All columns but the first are aligned to the right, as numbers should be."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def targets_table(targets: Sequence[Target]) -> str:
    return table(
        ("target", "limit", "measured", ""),
        [
            (
                target.name,
                f"{'≤' if target.at_most else '≥'} {target.limit:g}{target.unit}",
                f"{target.measured:.2f}{target.unit}",
                "reached" if target.reached else "**missed**",
            )
            for target in targets
        ],
    )


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"{count} rounds"


def _rates(results: Results) -> str:
    def row(profile: LoadProfile) -> list[str]:
        spreads = [results.spread(name, profile, lambda measurement: measurement.load.rate) for name in NAMES]
        a, b, c = (spread.median for spread in spreads)
        return [profile.title, str(profile.connections), *map(_range, spreads), f"{c / a:.2f}", f"{c / b:.1f}"]

    head = ("call", "connections", *TITLES.values(), "c / a", "c / b")
    return table(head, [row(profile) for profile in results.profiles()])


def _range(spread: Spread) -> str:
    return f"**{spread.median:,.0f}** ({spread.low:,.0f} to {spread.high:,.0f})"


def _latencies(results: Results) -> str:
    def cell(name: str, profile: LoadProfile) -> str:
        p50 = results.spread(name, profile, lambda measurement: measurement.load.p50).median
        p99 = results.spread(name, profile, lambda measurement: measurement.load.p99).median
        return f"{1000 * p50:.1f} / {1000 * p99:.1f}"

    return _server_table(results, cell)


def _cpu(results: Results) -> str:
    def cell(name: str, profile: LoadProfile) -> str:
        cpu = results.cpu(name, profile)
        parts = ", ".join(f"{thread} {microseconds:.0f}" for thread, microseconds in cpu.items() if microseconds >= 0.5)
        return f"**{sum(cpu.values()):.0f}** ({parts})"

    return _server_table(results, cell)


def _server_table(results: Results, cell: Callable[[str, LoadProfile], str]) -> str:
    """A table with a row for each load profile and a column for each server."""
    rows = [
        [profile.title, str(profile.connections), *(cell(name, profile) for name in NAMES)]
        for profile in results.profiles()
    ]
    return table(("call", "connections", *TITLES.values()), rows)


def _memory(results: Results) -> str:
    def highest(name: str) -> str:
        peaks = [measurement.peak_memory for measurement in results.measurements if measurement.server == name]
        return f"{max(peaks) / 1e6:.0f}"

    return table(("", *TITLES.values()), [["server process", *map(highest, NAMES)]])
