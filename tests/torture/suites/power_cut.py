"""The power is cut under 64 writers, over a disk that forgets what was not synced: what was answered is there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from storage.engine.database import Database
from storage.engine.errors import StorageError
from tests.support.server import running_server
from tests.torture.concurrent_clients import PLENTY, Crowd
from tests.torture.disk.disk import Disk, Image, put
from tests.torture.expected_state import Promises
from tests.torture.mutants import Relaxed, answering_early, connections
from tests.torture.suite import Report

NAME = "power cut under 64 writers"
CONTROL = "synchronous=NORMAL; then: answers before the commit"

SYNC_SECONDS = (0, 0.02)  # one run each a round
REQUESTS = 400
MEMBERS = 4
CUT_CHANCE = 1 / 100  # at each operation of the disk; some 20 cuts a run


class Folding(sqlite3.Connection):
    """Folds the log into the database every few commits, so that cuts meet that, too."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.execute("PRAGMA wal_autocheckpoint=200").close()


@dataclass(frozen=True, slots=True)
class _Cut:
    promises: Promises
    image: Image


@dataclass(slots=True)
class _Power:
    """Cuts it at random operations of the disk, which goes on: each cut is an image of its own.

    The first cuts may hit the very first start, with nothing promised yet: then the files must be good for another one.
    """

    random: Random
    promises: Promises = field(default_factory=Promises)
    disk: Disk = field(init=False)
    cuts: list[_Cut] = field(default_factory=list)

    def watch(self, number: int) -> None:
        if self.random.random() < CUT_CHANCE:
            answered = self.promises.copy()  # first this, then the image: what is answered meanwhile is not asked for
            self.cuts.append(_Cut(answered, self.disk.power_cut(self.random)))


Variant = Callable[[], AbstractContextManager[None]]
CONTROLS: Sequence[Variant] = (lambda: connections(Relaxed), answering_early)


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    if not broken:
        return run_variant(folder, seeds, lambda: connections(Folding))
    found = [run_variant(folder / str(n), seeds, variant) for n, variant in enumerate(CONTROLS)]
    report = Report()
    for control in found:
        report.add(control)
    if not all(control.violations for control in found):
        report.violations = []  # each of them has to turn this suite red
    return report


def run_variant(folder: Path, seeds: Sequence[int], variant: Variant) -> Report:
    report = Report()
    for seed in seeds:
        for seconds in SYNC_SECONDS:
            found = _round(folder / f"{seed}-{seconds}", Random(seed), seconds, variant)
            found.violations = [f"seed {seed}, sync {seconds} s: {violation}" for violation in found.violations]
            report.add(found)
    return report


def _round(folder: Path, random: Random, sync_seconds: float, variant: Variant) -> Report:
    power = _Power(Random(random.random()))  # its own: it is asked from SQLite's threads
    power.disk = Disk(sync_seconds=sync_seconds, watch=power.watch)
    with variant(), power.disk.in_use():
        crowd = asyncio.run(_write(folder / "data", random, power))
    report = Report(faults=len(power.cuts), violations=crowd.violations)
    for number, cut in enumerate(power.cuts):
        put(cut.image, folder / f"cut {number}")
        report.checked += len(cut.promises)
        report.violations += asyncio.run(_found_after(folder / f"cut {number}", cut.promises))
    return report


async def _write(data: Path, random: Random, power: _Power) -> Crowd:
    async with running_server(data, tasks={"workers": 0}, membership={"plans": PLENTY}) as server:
        crowd = Crowd(server, data, server.clock, random)
        power.promises = crowd.promises
        await crowd.gather(MEMBERS)
        await crowd.write(REQUESTS)
    return crowd


async def _found_after(folder: Path, promises: Promises) -> list[str]:
    """What a start on these files finds wanting."""
    try:
        database = await Database.open(folder)
    except StorageError as fault:
        return [f"the database cannot be opened: {fault}"]
    found = await database.read(promises.broken)
    await database.close()
    return found
