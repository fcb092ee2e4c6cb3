"""I/O errors and a full disk at the N-th operation: each answer holds, or is a refusal, or says "unknown".

N counts from the start of the server. Twenty consecutive seeds cover every N of each kind of fault.
"""

from __future__ import annotations

import asyncio
import shutil
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import TypeVar

from server.system import CannotStart
from tests.support.server import LocalServer, running_server
from tests.torture.disk.disk import Disk, write_image
from tests.torture.disk.faults import Fault, FaultKind
from tests.torture.disk.unsynced import without_syncs
from tests.torture.expected_state import check_database, check_rows
from tests.torture.mutants.commits import IgnoredCommitErrors, connections
from tests.torture.scenario import FirstStart, Scenario
from tests.torture.suite import SuiteReport
from tests.torture.workload import SeedData, Workload

NAME = "I/O errors at the N-th operation"
CONTROL = "a failed COMMIT is answered as a success"

SEEDS_FOR_ALL_CASES = 20
R = TypeVar("R")
_NEVER = 1_000_000_000

Patch = Callable[[], AbstractContextManager[None]]
Case = tuple[Fault, Callable[[], Scenario]]


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    variant: Patch = (lambda: connections(IgnoredCommitErrors)) if mutant else nullcontext
    folder.mkdir(parents=True, exist_ok=True)
    cases = _cases(folder)
    report = SuiteReport()
    for seed in seeds:
        for number in range(seed % SEEDS_FOR_ALL_CASES, len(cases), SEEDS_FOR_ALL_CASES):
            fault, new_scenario = cases[number]
            scenario = new_scenario()
            found = _run_case(folder / f"{seed} {number}", scenario, fault, variant)
            report.add(found, f"seed {seed}, {type(scenario).__name__}, {fault}")
            if mutant and report.violations:
                return report
    return report


def _cases(folder: Path) -> list[Case]:
    """Return every fault that can hit one of the scenarios."""
    with without_syncs():
        seed_data = asyncio.run(_with_server(folder / "seed data", SeedData.create))
    scenarios: list[Callable[[], Scenario]] = [lambda: Workload(seed_data), FirstStart]
    return [
        (Fault(kind, at, lasting), scenario)
        for scenario in scenarios
        for kind in FaultKind
        for at in range(1, _count_operations(folder / "count", scenario(), kind) + 1)
        for lasting in (False, True)
    ]


def _count_operations(folder: Path, scenario: Scenario, kind: FaultKind) -> int:
    """Return how many operations of the scenario this kind of fault can hit."""
    disk = Disk(fault=Fault(kind, _NEVER, False))
    _run_on_disk(folder, scenario, disk)
    shutil.rmtree(folder)
    return disk.eligible_operations


def _run_case(folder: Path, scenario: Scenario, fault: Fault, variant: Patch) -> SuiteReport:
    """Run on the failing disk, check the files and the files after a power cut, then send everything again."""
    data, disk = folder / "data", Disk(fault=fault)
    with variant():
        violations = _run_on_disk(folder, scenario, disk)
    report = SuiteReport(disk.faults, scenario.answers, violations)
    image = disk.power_cut(Random(fault.at))
    with without_syncs():
        if "darkroom.sqlite3" in image:
            write_image(image, folder / "cut")
            report.add(_check_restart(folder / "cut", scenario), "after a power cut")
        report.add(_check_restart(data, scenario), "after the fault")
        asyncio.run(_with_server(data, scenario.retry))
    report.violations += scenario.violations
    report.add(SuiteReport(violations=check_rows(data, scenario.find_violations)), "after the retry")
    shutil.rmtree(folder)
    return report


def _run_on_disk(folder: Path, scenario: Scenario, disk: Disk) -> list[str]:
    """Run the scenario on the disk. Return the traceback of any exception other than a refused start."""
    folder.mkdir()
    if scenario.initial_data is not None:
        shutil.copytree(scenario.initial_data, folder / "data")
    try:
        with disk.in_use():
            asyncio.run(_with_server(folder / "data", scenario.run))
    except CannotStart:
        pass
    except Exception:
        return [traceback.format_exc()]
    return []


async def _with_server(data: Path, use: Callable[[LocalServer], Awaitable[R]]) -> R:
    async with running_server(data, tasks={"workers": 0}) as server:
        return await use(server)


def _check_restart(data: Path, scenario: Scenario) -> SuiteReport:
    return SuiteReport(violations=asyncio.run(check_database(data, scenario.find_violations)))
