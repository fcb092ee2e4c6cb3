"""Cut the power under 64 writers, on a disk that loses unsynced writes: every answered change is there afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.support.server import running_server
from tests.torture.concurrent_clients import ConcurrentClients
from tests.torture.disk.disk import Disk, DiskImage, write_image
from tests.torture.expected_state import ExpectedState, check_database
from tests.torture.mutants.commits import NormalSynchronous, answering_before_commit, connections
from tests.torture.processes import LARGE_PLAN
from tests.torture.suite import SuiteReport, run_rounds

NAME = "power cut under 64 writers"
CONTROL = "synchronous=NORMAL; then: answers before the commit"

SYNC_SECONDS = (0, 0.02)  # a round has a run with each
REQUESTS = 400
MEMBERS = 4
CUT_PROBABILITY = 1 / 100  # at each operation of the disk; about 20 cuts in a run


class FrequentCheckpoints(sqlite3.Connection):
    """Moves the log into the database every few commits, so that power cuts hit checkpoints as well."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA wal_autocheckpoint=200").close()


@dataclass(frozen=True, slots=True)
class _Cut:
    expected: ExpectedState
    image: DiskImage


@dataclass(slots=True)
class _PowerCuts:
    """Takes an image of the disk at random operations, as a power cut would leave it, while the disk goes on.

    The first cuts may hit the first start, when nothing was answered yet: another start must be able to use the files.
    """

    random: Random
    expected: ExpectedState = field(default_factory=ExpectedState)
    disk: Disk = field(init=False)
    cuts: list[_Cut] = field(default_factory=list)

    def watch(self, number: int) -> None:
        if self.random.random() < CUT_PROBABILITY:
            answered = self.expected.copy()  # before the image, because it must not contain later answers
            self.cuts.append(_Cut(answered, self.disk.power_cut(self.random)))


Patch = Callable[[], AbstractContextManager[None]]
MUTANTS: Sequence[Patch] = (lambda: connections(NormalSynchronous), answering_before_commit)


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    if not mutant:
        return run_rounds(folder, seeds, partial(_round, lambda: connections(FrequentCheckpoints)), mutant=False)
    report, found = SuiteReport(), []
    for number, variant in enumerate(MUTANTS):
        control = run_rounds(folder / str(number), seeds, partial(_round, variant), mutant=True)
        report.add(control)
        found.append(bool(control.violations))
    if not all(found):
        report.violations = []  # the suite has to find both mutants
    return report


async def _round(variant: Patch, folder: Path, random: Random, mutant: bool) -> SuiteReport:
    report = SuiteReport()
    for seconds in SYNC_SECONDS:
        with variant():
            found = await _run(folder / f"sync {seconds}", Random(random.random()), seconds, mutant)
        report.add(found, f"sync {seconds} s")
        if mutant and report.violations:
            break
    return report


async def _run(folder: Path, random: Random, sync_seconds: float, mutant: bool) -> SuiteReport:
    power = _PowerCuts(Random(random.random()))  # not `random`, because SQLite's threads draw from it
    power.disk = Disk(sync_seconds=sync_seconds, watch=power.watch)
    with power.disk.in_use():
        violations = await _write(folder / "data", random, power)
    report = SuiteReport(faults=len(power.cuts))
    if not mutant:  # a mutant has to be found by its lost answers
        report.violations += violations
    for number, cut in enumerate(power.cuts):
        if mutant and report.violations:
            break
        write_image(cut.image, folder / f"cut {number}")
        report.checked += len(cut.expected)
        report.violations += await check_database(folder / f"cut {number}", cut.expected.find_violations)
    return report


async def _write(data: Path, random: Random, power: _PowerCuts) -> list[str]:
    async with running_server(data, tasks={"workers": 0}, membership={"plans": LARGE_PLAN}) as server:
        clients = ConcurrentClients(server, data, server.clock, random)
        power.expected = clients.expected
        await clients.register_members(MEMBERS)
        await clients.write(REQUESTS)
    return clients.violations
