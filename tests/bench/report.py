"""docs/performance.md: what was measured, on what, and what it does not say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.figures import Results, Run, Scene, Spread, Target
from tests.bench.machine import Machine
from tests.bench.servers import BARE, DARKROOM, NAMES, OBVIOUS

TITLES = {BARE: "(a) bare aiohttp", OBVIOUS: "(b) obvious", DARKROOM: "(c) Darkroom"}

_HEAD = """# Performance

Written by `make bench`; edit tests/bench instead.

Three servers answer the same calls over real HTTP, on one machine and in one run:

- **(a) bare aiohttp** reads the body and answers the same JSON through `web.json_response`: what the framework costs.
- **(b) obvious** is what a competent developer writes in an afternoon (tests/bench/baseline.py): PyJWT, aiosqlite, one
  transaction a request behind a lock, the same durability.
- **(c) Darkroom** is `darkroom serve` with everything on: `synchronous=FULL`, tokens, validation, idempotency keys,
  signed addresses, the ledger.

![Requests a second and latencies of the three servers](performance.png)
"""

_LIMITS = """## What the numbers do not say

The load generator has one of the machine's cores and the server, however many threads it has, shares what is left with
the kernel's network stack; on more cores the bare handler would gain nothing and Darkroom a little, since its writer
runs beside its event loop except where Python's GIL forbids it. wrk is a closed loop: a connection asks again when it
has its answer, so a server that stalls is asked less, and its p99 looks better than people would find it. At 256
connections latency is mostly waiting in line: connections divided by requests a second. All of it is loopback: no TLS,
no proxy, no network. The databases are small (1,000 people, a task each, and what a run adds in a few seconds). Ratios
within one run are what the targets are about; rates are this machine's, and a virtual machine's neighbours move them,
which is why ranges are given and why the servers take turns. Every login is by a phone that was not known before, the
dearer kind. Every task that is read is a pending one. CPU is counted by the kernel in ticks of 10 ms and includes its
work on the server's behalf; what the picture processes and the kernel's own threads use is not in it. Peak memory is
that of the server process alone. Darkroom runs in development mode (the sandbox is loaded and not called), without
picture workers. The check after each creation run reads the database: at least one task for each answered creation,
and all sums right.
"""

_REPEAT = """## How to repeat it

`wrk` has to be installed (`apt install wrk`, `brew install wrk`); it runs on Linux only, since threads and memory are
read from /proc.

```
make bench                                     # exit status 1 when a target is missed
.venv/bin/python -m tests.bench.load --quick   # a look in two or three minutes, at 64 connections only
.venv/bin/python -m tests.bench.overload       # only the load that is too much
```

This report is from {rounds}, each of {runs} measurements of {seconds} s after a second of warming up. Every measurement
has a server process started for it, on a fresh copy of the same data; a refused or broken request ends the whole run
without a report.
"""


def write_report(
    results: Results, targets: Sequence[Target], overload: str, machine: Machine, rounds: int, seconds: int
) -> str:
    """`overload` is that part's own section."""
    measurements = len(results.scenes()) * len(NAMES)
    return "\n".join(
        [
            _HEAD,
            "## Targets\n",
            targets_table(targets),
            "Ratios are of medians, at 64 connections.\n",
            f"## Requests a second\n\nMedian (lowest to highest) of {_times(rounds)}.\n",
            _rates(results),
            "## Time to the answer\n\np50 / p99 in milliseconds, medians.\n",
            _times_table(results),
            "## CPU microseconds a request, by thread\n",
            _cpu(results),
            "## Peak resident memory\n\nMB, the most of all measurements.\n",
            _memory(results),
            overload,
            "## What it ran on\n",
            table(("", ""), machine.lines()),
            _REPEAT.format(rounds=_times(rounds), seconds=seconds, runs=measurements),
            _LIMITS,
        ]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; numbers look best to the right, so all columns but the first are."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def targets_table(targets: Sequence[Target]) -> str:
    return table(
        ("target", "wanted", "measured", ""),
        [
            (
                target.name,
                f"{'≤' if target.at_most else '≥'} {target.wanted:g}{target.unit}",
                f"{target.measured:.2f}{target.unit}",
                "reached" if target.reached else "**missed**",
            )
            for target in targets
        ],
    )


def _times(count: int) -> str:
    return "one round" if count == 1 else f"{count} rounds"


def _rates(results: Results) -> str:
    def row(scene: Scene) -> list[str]:
        spreads = [results.spread(name, scene, lambda run: run.load.rate) for name in NAMES]
        a, b, c = (spread.median for spread in spreads)
        return [scene.title, str(scene.connections), *map(_range, spreads), f"{c / a:.2f}", f"{c / b:.1f}"]

    head = ("call", "connections", *TITLES.values(), "c / a", "c / b")
    return table(head, [row(scene) for scene in results.scenes()])


def _range(spread: Spread) -> str:
    return f"**{spread.median:,.0f}** ({spread.low:,.0f} to {spread.high:,.0f})"


def _times_table(results: Results) -> str:
    def cell(name: str, scene: Scene) -> str:
        p50, p99 = (results.spread(name, scene, figure).median for figure in (_p50, _p99))
        return f"{1000 * p50:.1f} / {1000 * p99:.1f}"

    rows = [[scene.title, str(scene.connections), *(cell(name, scene) for name in NAMES)] for scene in results.scenes()]
    return table(("call", "connections", *TITLES.values()), rows)


def _p50(run: Run) -> float:
    return run.load.p50


def _p99(run: Run) -> float:
    return run.load.p99


def _cpu(results: Results) -> str:
    def cell(name: str, scene: Scene) -> str:
        cpu = results.cpu(name, scene)
        parts = ", ".join(f"{thread} {each:.0f}" for thread, each in cpu.items() if each >= 0.5)
        return f"**{sum(cpu.values()):.0f}** ({parts})"

    rows = [[scene.title, str(scene.connections), *(cell(name, scene) for name in NAMES)] for scene in results.scenes()]
    return table(("call", "connections", *TITLES.values()), rows)


def _memory(results: Results) -> str:
    def most(name: str, figure: Callable[[Run], int]) -> str:
        return f"{max(figure(run) for run in results.runs if run.server == name) / 1e6:.0f}"

    return table(("", *TITLES.values()), [["server process", *(most(name, lambda run: run.peak) for name in NAMES)]])
