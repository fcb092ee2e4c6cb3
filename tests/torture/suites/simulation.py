"""A seeded simulation of the actors in virtual time: a seed stands for one run and gives the same run each time.

The actors are the product's, on real SQLite with the real group commit. Simulated are time, the scheduling of reads
and commits, and all services outside: writes stall, fail, or fail without saying whether they happened; the process is
killed or stopped at any moment; gateways and picture workers hang, raise and repeat themselves. All answers are
compared with the rows. `python -m tests.torture.suites.simulation --seed 7` prints the steps of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

import server.logs.format  # noqa: F401  # configures the log, so that _silence() covers what the actors log
from actors import ids, retention
from actors.task import backoff
from actors.task.external_workers import EXTERNAL_LEASE
from tests.torture.simulation.clients import ClientContext
from tests.torture.simulation.mutants import MUTANTS, PRODUCT, Variant
from tests.torture.simulation.operator_and_worker import ExternalWorker, Operator
from tests.torture.simulation.oracle import Oracle
from tests.torture.simulation.schedule import Schedule
from tests.torture.simulation.server import ORDER_MINUTES, Deployment, Environment
from tests.torture.simulation.services import SimulatedClock, SimulatedGateway, SimulatedSms
from tests.torture.simulation.store import empty_database
from tests.torture.simulation.users import SimulatedUser
from tests.torture.simulation.virtual_loop import Stuck, run_virtually
from tests.torture.suite import SuiteReport

NAME = "seeded interleavings"
CONTROL = f"{len(MUTANTS)} mutants, one a seed, such as an answer before the commit"
ROUNDS_PER_SEED = 100

USERS = 3
DAY = 86_400_000  # milliseconds
SETTLE_SECONDS = 15.0  # virtual seconds between two looks for unfinished work, after the faults have stopped
SETTLE_ROUNDS = 60  # work that is unfinished after so many looks is a violation
VIRTUAL_SECONDS = 86_400  # no run takes so long


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    report = SuiteReport()
    for number, seed in enumerate(seeds):
        report.add(simulate(folder, seed, MUTANTS[number % len(MUTANTS)] if mutant else PRODUCT).report)
        if mutant and report.violations:
            break
    return report


class Simulation:
    """One run. `steps` are the same in each run of the same seed."""

    def __init__(self, folder: Path, seed: int, variant: Variant) -> None:
        self.report = SuiteReport()
        self.steps: list[str] = []
        self._folder, self._seed, self._variant = folder, seed, variant

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, __: None)  # a job that ends with an exception is checked by its rows
        schedule = Schedule(self._seed, loop.time)
        self.steps = schedule.steps
        connection, clock = empty_database(), SimulatedClock()
        oracle = Oracle(connection, schedule, clock)
        gateways = {channel: SimulatedGateway(channel, schedule) for channel in ("wx", "alipay")}
        sms = SimulatedSms(schedule)
        environment = Environment(schedule, clock, connection, sms, gateways, self._folder, self._variant)
        try:
            async with asyncio.timeout(VIRTUAL_SECONDS):
                await _run(environment, oracle)
        except Exception as error:
            schedule.step(traceback.format_exc())
            oracle.check(False, f"unexpected exception {error!r}")
        finally:
            connection.close()
        self._conclude(schedule, oracle)

    def _conclude(self, schedule: Schedule, oracle: Oracle) -> None:
        mutant = f" --mutant {MUTANTS.index(self._variant)}" if self._variant in MUTANTS else ""
        replay = f"python -m tests.torture.suites.simulation --seed {self._seed}{mutant}"
        unique = dict.fromkeys(oracle.violations)
        violations = [f"seed {self._seed}: {violation} (replay: {replay})" for violation in unique]
        self.report = SuiteReport(schedule.faults, oracle.checked, violations)


def simulate(folder: Path, seed: int, variant: Variant = PRODUCT) -> Simulation:
    simulation = Simulation(folder, seed, variant)
    with _silence(), _seeded_ids(seed), _long_refusal_retention(), variant.patched():
        try:
            run_virtually(simulation.run)
        except Stuck as error:
            simulation.report.violations.append(f"seed {seed}: {error}")
    return simulation


async def _run(environment: Environment, oracle: Oracle) -> None:
    deployment = Deployment(environment, oracle)
    running = asyncio.create_task(deployment.run())
    context = ClientContext(environment.schedule, oracle, deployment, environment.gateways, environment.sms)
    users = [SimulatedUser(context, number) for number in range(USERS)]
    worker = ExternalWorker(context)
    faults = asyncio.create_task(_inject_faults(environment, deployment))
    await asyncio.gather(*(user.run() for user in users), Operator(context, users).run(), worker.run())
    faults.cancel()
    await _settle(environment, oracle, worker)
    deployment.end("over")
    await running
    trades = [payment for gateway in environment.gateways.values() for payment in gateway.trades.values()]
    oracle.check_payments(trades)


async def _inject_faults(environment: Environment, deployment: Deployment) -> None:
    """Kill or stop the process, or move the clock past the end of leases and memberships."""
    schedule = environment.schedule
    while True:
        await asyncio.sleep(schedule.pause(15))
        if schedule.fault("the process is killed", 0.15):
            deployment.end("kill")
        elif schedule.fault("the process is stopped", 0.06):
            deployment.end("stop")
        elif schedule.fault("the clock jumps", 0.05):
            environment.clock.jump(schedule.random.choice((200_000, 2 * EXTERNAL_LEASE, 2 * DAY, 31 * DAY)))


async def _settle(environment: Environment, oracle: Oracle, worker: ExternalWorker) -> None:
    """Stop all faults and wait until every task and every order has ended."""
    environment.schedule.faults_stopped = True
    environment.schedule.step("no more faults")
    environment.clock.jump(EXTERNAL_LEASE + ORDER_MINUTES * 60_000)
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(SETTLE_SECONDS)
        await worker.finish_poses()
        if not oracle.unfinished():
            return
    seconds = SETTLE_ROUNDS * SETTLE_SECONDS
    oracle.check(False, f"still unfinished after {seconds:.0f} seconds: {oracle.unfinished()}")


@contextmanager
def _silence() -> Iterator[None]:
    """Do not log the injected faults."""
    logger = logging.getLogger("darkroom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _long_refusal_retention() -> Iterator[None]:
    """Keep refusals: the clock jumps by months, and after the purge of a refusal its key would start a new request."""
    with patch.object(retention, "REFUSAL_RETENTION", 1000 * DAY):
        yield


@contextmanager
def _seeded_ids(seed: int) -> Iterator[None]:
    """Make the same ids and delays in each run of a seed, so that the order of rows and the steps are the same."""
    bits, fixed_time = Random(seed), SimpleNamespace(time_ns=lambda: 0)
    with (
        patch.object(ids, "_random", bits),
        patch.object(ids, "time", fixed_time),
        patch.object(ids, "_last", 0),
        patch.object(backoff, "_random", bits),
    ):
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description="Run seeds; with --seed, run one seed and print its steps.")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--mutant", choices=[str(number) for number in range(len(MUTANTS))])
    options = parser.parse_args()
    variant = PRODUCT if options.mutant is None else MUTANTS[int(options.mutant)]
    first, number = (options.first, options.seeds) if options.seed is None else (options.seed, 1)
    total, start = SuiteReport(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + number):
            simulation = simulate(Path(folder), seed, variant)
            total.add(simulation.report)
            if options.seed is not None:
                print("\n".join(simulation.steps))
            for violation in simulation.report.violations:
                print(violation, flush=True)
    seconds = time.perf_counter() - start
    counts = f"{total.faults} faults, {total.checked} checks, {len(total.violations)} violations"
    print(f"{number} seeds, {counts}, {seconds:.1f} s")
    return bool(total.violations)


if __name__ == "__main__":
    sys.exit(main())
