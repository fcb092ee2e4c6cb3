"""Measure Darkroom against a bare aiohttp handler and the obvious implementation: `python -m tests.bench.load`.

Writes docs/performance.md and docs/performance.png. Exits with 1 when a target is missed, with 2 when it cannot
measure. Linux only: threads and memory are read from /proc.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.bench.chart import draw
from tests.bench.machine import NotADisk, look
from tests.bench.overload import storm
from tests.bench.procfs import Company
from tests.bench.report import targets_table, write_report
from tests.bench.rounds import SCENES, Bench, Plan, Refused
from tests.bench.servers import ROOT, ServerFailed, WrongSums
from tests.bench.wrk import WrkFailed, WrkMissing, find_wrk

CANNOT = (WrkMissing, WrkFailed, ServerFailed, Refused, WrongSums, NotADisk)
STORM_SECONDS = 12


def main() -> int:
    options = _options()
    if sys.platform != "linux":
        print("this measures on Linux only: it reads threads and memory from /proc", file=sys.stderr)
        return 2
    begun = time.monotonic()
    try:
        missed = _measure(options)
    except CANNOT as fault:
        print(f"this is no measurement: {fault}", file=sys.stderr)
        return 2
    print(f"took {time.monotonic() - begun:.0f} s; the report: {options.out / 'performance.md'}")
    return 1 if missed else 0


def _measure(options: argparse.Namespace) -> bool:
    """Whether a target was missed."""
    wrk = find_wrk()
    options.folder.mkdir(parents=True, exist_ok=True)
    machine, company = look(options.folder, wrk), Company()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="run-") as name:
        folder = Path(name).resolve()
        bench = Bench(Plan(options.scenes, options.rounds, options.seconds, folder))
        results = bench.measure()
        print("and now more than it can carry", flush=True)
        stormy = storm(bench.contenders, folder, bench.many, STORM_SECONDS)
    targets = [*results.targets(), *stormy.targets()]
    machine = replace(machine, others=company.share())
    report = write_report(results, targets, stormy.section(), machine, options.rounds, options.seconds)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "performance.md").write_text(report)
    draw(results, options.out / "performance.png", f"{machine.cpu}, {machine.cores} cores; {machine.date}")
    print(f"{targets_table(targets)}\n{machine.company}")
    return not all(target.reached for target in targets)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Darkroom against a bare aiohttp handler and the obvious way.")
    parser.add_argument("--rounds", type=int, default=3, help="each measures everything once (default: 3)")
    parser.add_argument("--seconds", type=int, default=3, help="for each measurement (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round at 64 connections: a look, not a result")
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="for the data; has to be on a disk")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where the report goes")
    options = parser.parse_args()
    options.scenes = [scene for scene in SCENES if scene.connections == 64 or not options.quick]
    if options.quick:
        options.rounds, options.seconds = 1, 2
    return options


if __name__ == "__main__":
    sys.exit(main())
