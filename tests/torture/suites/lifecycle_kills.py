"""`kill -9` at each named step of a task's life: every task ends, and is settled once.

Seed 0 stands for the first step of tests/torture/stops.py, seed 1 for the next one, and so on, again and again. So each
seed that is given to `make torture` stands for all steps.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import aiohttp

from server.operator.command import OperatorFailed
from tests.support.invariants import audit_violations
from tests.support.process import DidNotStart, http_client
from tests.support.server import Api
from tests.torture.processes import changed_server
from tests.torture.stops import STEPS
from tests.torture.suite import SuiteReport
from tests.torture.task_scenario import TaskScenario

NAME = "kill -9 at each step of a task"
CONTROL = "what was interrupted is never swept"

ROUNDS_PER_SEED = len(STEPS)
_BEFORE_BOOT_STEPS = "after the commit of claimed"  # leaves a lease, which the next start has to end


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    report = SuiteReport()
    for seed in seeds:
        data, step = folder / str(seed) / "data", STEPS[seed % len(STEPS)]
        data.parent.mkdir(parents=True)
        program = ("--mutant", "never-sweeping") if mutant else ()
        report.add(asyncio.run(_round(data, step, program)), f"seed {seed}, {step}")
        if mutant and report.violations:
            break
    return report


async def _round(data: Path, step: str, program: Sequence[str]) -> SuiteReport:
    steps = [_BEFORE_BOOT_STEPS, step] if "former leases" in step else [step]
    async with http_client() as http:
        scenario = TaskScenario(Api("", http), data)
        for each in steps:
            await _run_until_killed(scenario, each)
        async with changed_server(data, program, TASKS__WORKERS="1") as server:
            scenario.api.base = server.base
            violations = await scenario.run()
    with closing(sqlite3.connect(data / "darkroom.sqlite3")) as connection:
        violations += audit_violations(connection)
    return SuiteReport(len(steps), len(scenario.tasks), violations)


async def _run_until_killed(scenario: TaskScenario, step: str) -> None:
    """Run the scenario until the server has killed itself. Raises AssertionError if it ended in another way."""
    try:
        async with changed_server(scenario.data, ("--stop-at", step), TASKS__WORKERS="1") as server:
            scenario.api.base = server.base
            with suppress(aiohttp.ClientError, OperatorFailed):
                await scenario.run()
                raise AssertionError(f"the scenario did not reach the step {step!r}")
            status: int | None = await server.process.wait()
    except DidNotStart as ended:  # some steps are reached at the start of the server
        status = ended.status
    assert status == -signal.SIGKILL, f"the server ended by itself, with status {status}"
