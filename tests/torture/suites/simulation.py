"""A seeded simulation of the actors: one seed is one run in virtual time, and gives the same run each time.

The actors are the product's, over real SQLite and the real group commit. Simulated are the time, the scheduling of
reads and commits, and everything outside: writes stall, fail, or fail to say whether they happened; the process is
killed or stopped at any moment; gateways and picture workers hang, raise and repeat themselves. What was answered is
held against the rows all along. `python -m tests.torture.suites.simulation --seed 7` prints the steps of one run.
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

import server.logs.form  # noqa: F401  # so that what the actors log goes where _silence() can stop it
from actors import ids, retention
from actors.task.actor import OUTSIDE_LEASE
from tests.torture.simulation.clients import Outside
from tests.torture.simulation.mutants import BROKEN, PRODUCT, Variant
from tests.torture.simulation.operator_and_worker import Operator, OutsideWorker
from tests.torture.simulation.oracle import Witness
from tests.torture.simulation.schedule import Script
from tests.torture.simulation.server import ORDER_MINUTES, Deployment, World
from tests.torture.simulation.services import SimulatedClock, SimulatedGateway, SimulatedSms
from tests.torture.simulation.store import empty_database
from tests.torture.simulation.users import Person
from tests.torture.simulation.virtual_loop import Stuck, run_virtually
from tests.torture.suite import Report

NAME = "seeded interleavings"
CONTROL = f"{len(BROKEN)} variants, one a seed, such as an answer before the commit"
ROUNDS = 100

PEOPLE = 3
DAY = 86_400_000  # milliseconds
QUIET_SECONDS = 15.0  # how often an end is looked for, once there are no more faults
QUIET_ROUNDS = 60  # after so many, somebody waits for ever
VIRTUAL_SECONDS = 86_400  # no run takes so long


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    report = Report()
    for number, seed in enumerate(seeds):
        report.add(simulate(folder, seed, BROKEN[number % len(BROKEN)] if broken else PRODUCT).report)
    return report


class Simulation:
    """One run. `steps` tell it, and are the same in each run of the same seed."""

    def __init__(self, folder: Path, seed: int, variant: Variant) -> None:
        self.report = Report()
        self.steps: list[str] = []
        self._folder, self._seed, self._variant = folder, seed, variant

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, __: None)  # a job that ends by a fault is the business of the rows
        script = Script(self._seed, loop.time)
        self.steps = script.steps
        connection, clock = empty_database(), SimulatedClock()
        witness = Witness(connection, script, clock)
        gateways = {channel: SimulatedGateway(channel, script) for channel in ("wx", "alipay")}
        world = World(script, clock, connection, SimulatedSms(script), gateways, self._folder, self._variant)
        try:
            async with asyncio.timeout(VIRTUAL_SECONDS):
                await _play(world, witness)
        except Exception as fault:
            script.step(traceback.format_exc())
            witness.check(False, f"nobody foresaw {fault!r}")
        finally:
            connection.close()
        self._conclude(script, witness)

    def _conclude(self, script: Script, witness: Witness) -> None:
        broken = f" --broken {BROKEN.index(self._variant)}" if self._variant in BROKEN else ""
        again = f"python -m tests.torture.suites.simulation --seed {self._seed}{broken}"
        told = [f"seed {self._seed}: {violation} (replay: {again})" for violation in dict.fromkeys(witness.violations)]
        self.report = Report(script.faults, witness.checked, told)


def simulate(folder: Path, seed: int, variant: Variant = PRODUCT) -> Simulation:
    simulation = Simulation(folder, seed, variant)
    with _silence(), _seeded_ids(seed), _refusals_kept(), variant.patched():
        try:
            run_virtually(simulation.run)
        except Stuck as fault:
            simulation.report.violations.append(f"seed {seed}: {fault}")
    return simulation


async def _play(world: World, witness: Witness) -> None:
    deployment = Deployment(world, witness)
    running = asyncio.create_task(deployment.run())
    outside = Outside(world.script, witness, deployment, world.gateways, world.sms)
    people = [Person(outside, number) for number in range(PEOPLE)]
    worker = OutsideWorker(outside)
    trouble = asyncio.create_task(_trouble(world, deployment))
    await asyncio.gather(*(person.live() for person in people), Operator(outside, people).live(), worker.live())
    trouble.cancel()
    await _calm(world, witness, worker)
    deployment.end("over")
    await running
    witness.payments_hold([payment for gateway in world.gateways.values() for payment in gateway.books.values()])


async def _trouble(world: World, deployment: Deployment) -> None:
    """Now and then the process is killed or stopped, or the time leaps to where leases and memberships are over."""
    script = world.script
    while True:
        await asyncio.sleep(script.pause(15))
        if script.fault("the process is killed", 0.15):
            deployment.end("kill")
        elif script.fault("the process is stopped", 0.06):
            deployment.end("stop")
        elif script.fault("time leaps", 0.05):
            world.clock.leap(script.random.choice((200_000, 2 * OUTSIDE_LEASE, 2 * DAY, 31 * DAY)))


async def _calm(world: World, witness: Witness, worker: OutsideWorker) -> None:
    """Without faults, every task and every order comes to its end."""
    world.script.calm = True
    world.script.step("no more faults")
    world.clock.leap(OUTSIDE_LEASE + ORDER_MINUTES * 60_000)
    for _ in range(QUIET_ROUNDS):
        await asyncio.sleep(QUIET_SECONDS)
        await worker.finish_poses()
        if not witness.unfinished():
            return
    witness.check(False, f"no end after {QUIET_ROUNDS * QUIET_SECONDS:.0f} seconds for {witness.unfinished()}")


@contextmanager
def _silence() -> Iterator[None]:
    """Faults that are meant to happen are no news."""
    logger = logging.getLogger("darkroom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _refusals_kept() -> Iterator[None]:
    """Time leaps by months here, and a refusal that was forgotten makes the next request with its key a new wish."""
    with patch.object(retention, "REFUSAL_RETENTION", 1000 * DAY):
        yield


@contextmanager
def _seeded_ids(seed: int) -> Iterator[None]:
    """Ids that are the same in each run, so that their order and the steps' text are, too."""
    bits, now = Random(seed), SimpleNamespace(time_ns=lambda: 0)
    with (
        patch.object(ids, "_random", bits),
        patch.object(ids, "time", now),
        patch.object(ids, "_last", 0),
    ):
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description="Run seeds; with --seed, one of them with its steps.")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--broken", choices=[str(number) for number in range(len(BROKEN))])
    wanted = parser.parse_args()
    variant = PRODUCT if wanted.broken is None else BROKEN[int(wanted.broken)]
    first, many = (wanted.first, wanted.seeds) if wanted.seed is None else (wanted.seed, 1)
    total, began = Report(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + many):
            simulation = simulate(Path(folder), seed, variant)
            total.add(simulation.report)
            if wanted.seed is not None:
                print("\n".join(simulation.steps))
            for violation in simulation.report.violations:
                print(violation, flush=True)
    took = time.perf_counter() - began
    print(
        f"{many} seeds, {total.faults} faults, {total.checked} checks, {len(total.violations)} violations, {took:.1f} s"
    )
    return bool(total.violations)


if __name__ == "__main__":
    sys.exit(main())
