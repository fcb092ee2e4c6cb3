"""Measure Darkroom beside a bare aiohttp handler and a baseline implementation: `python -m tests.bench.load`.

Writes docs/performance.md and docs/performance.png. Exits with 1 when a target is missed, and with 2 when it cannot
measure. It runs on Linux only, because it reads threads and memory from /proc.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.bench.chart import draw_chart
from tests.bench.machine import FolderInMemory, describe_machine
from tests.bench.overload import measure_overload
from tests.bench.procfs import OtherProcesses
from tests.bench.report import targets_table, write_report
from tests.bench.rounds import PROFILES, Bench, RequestsFailed, RunPlan
from tests.bench.servers import ROOT, ServerFailed, WrongSums
from tests.bench.wrk import WrkFailed, WrkMissing, find_wrk

FAILURES = (WrkMissing, WrkFailed, ServerFailed, RequestsFailed, WrongSums, FolderInMemory)
OVERLOAD_SECONDS = 12


def main() -> int:
    options = _options()
    if sys.platform != "linux":
        print("the benchmark runs on Linux only, because it reads threads and memory from /proc", file=sys.stderr)
        return 2
    start = time.monotonic()
    try:
        all_reached = _measure(options)
    except FAILURES as failure:
        print(f"the measurement failed: {failure}", file=sys.stderr)
        return 2
    print(f"finished after {time.monotonic() - start:.0f} s; the report is {options.out / 'performance.md'}")
    return 0 if all_reached else 1


def _measure(options: argparse.Namespace) -> bool:
    """Measure, write the report, and return whether every target was reached."""
    wrk = find_wrk()
    options.folder.mkdir(parents=True, exist_ok=True)
    machine, others = describe_machine(options.folder, wrk), OtherProcesses()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="run-") as name:
        folder = Path(name).resolve()
        bench = Bench(RunPlan(options.profiles, options.rounds, options.seconds, folder))
        results = bench.measure()
        print("overload: more connections than Darkroom can serve", flush=True)
        overload = measure_overload(bench.servers, folder, bench.members_file, OVERLOAD_SECONDS)
    targets = [*results.targets(), *overload.targets()]
    machine = replace(machine, other_cpu_share=others.cpu_share())
    report = write_report(results, targets, overload.section(), machine, options.rounds, options.seconds)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "performance.md").write_text(report)
    draw_chart(results, options.out / "performance.png", f"{machine.cpu}, {machine.cores} cores; {machine.date}")
    print(f"{targets_table(targets)}\n{machine.other_cpu_note}")
    return all(target.reached for target in targets)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Darkroom beside a bare aiohttp handler and a baseline.")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: 3)")
    parser.add_argument("--seconds", type=int, default=3, help="the length of each measurement (default: 3)")
    parser.add_argument(
        "--quick", action="store_true", help="one short round at 64 connections, for a first impression"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("build/bench"), help="folder for the data; it must be on a disk"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder for the report")
    options = parser.parse_args()
    options.profiles = [profile for profile in PROFILES if profile.connections == 64 or not options.quick]
    if options.quick:
        options.rounds, options.seconds = 1, 2
    return options


if __name__ == "__main__":
    sys.exit(main())
