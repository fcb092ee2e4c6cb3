"""I/O errors and a full disk at the N-th operation: an answer holds, or nothing was done, or it says it cannot know.

N counts from the very start of the server. Twenty seeds in a row cover every N of each kind of trouble.
"""

from __future__ import annotations

import asyncio
import shutil
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

from server.system import CannotStart
from storage.database import Database
from tests.edge import running
from tests.torture.broken import Confident, connections
from tests.torture.disk import Disk, put
from tests.torture.faults import Fault, Trouble
from tests.torture.script import Script, Start
from tests.torture.suite import Report

NAME = "I/O errors at the N-th operation"
CONTROL = "a failed COMMIT is answered as a success"

SLICES = 20
_SETTINGS: dict[str, Any] = {"tasks": {"workers": 0}}
_NEVER = 1_000_000_000


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    variant: Variant = (lambda: connections(Confident)) if broken else nullcontext
    folder.mkdir(parents=True, exist_ok=True)
    start = asyncio.run(_prepare(folder / "start"))
    ends = {trouble: _count(folder / f"count {trouble.name}", start, trouble) for trouble in Trouble}
    faults = [
        Fault(trouble, at, lasting)
        for trouble, end in ends.items()
        for lasting in (False, True)
        for at in range(1, end + 1)
    ]
    report = Report()
    for seed in seeds:
        for number in range(seed % SLICES, len(faults), SLICES):
            found = _round(folder / f"{seed} {number}", start, faults[number], variant)
            found.violations = [f"seed {seed}, {faults[number]}: {violation}" for violation in found.violations]
            report.add(found)
    return report


Variant = Callable[[], AbstractContextManager[None]]


async def _prepare(data: Path) -> Start:
    """A healthy start to copy for each round: a member with two tasks, and an order to be paid."""
    async with running(data, **_SETTINGS) as edge:
        return await Start.prepare(edge)


def _count(folder: Path, start: Start, trouble: Trouble) -> int:
    """How many operations of the whole script this trouble can hit."""
    disk = Disk(fault=Fault(trouble, _NEVER, False))
    _attempt(folder, Script(start), disk)
    shutil.rmtree(folder)
    return disk.concerned


def _round(folder: Path, start: Start, fault: Fault, variant: Variant) -> Report:
    disk, script = Disk(fault=fault), Script(start)
    with variant():
        broken = _attempt(folder, script, disk)
    report = Report(faults=disk.faults, checked=len(script.outcomes), violations=broken + script.violations)
    script.violations = []
    image = disk.power_cut(Random(fault.at))
    if "darkroom.sqlite3" in image:
        put(image, folder / "cut")
        report.violations += asyncio.run(_kept(folder / "cut", script))
    report.violations += asyncio.run(_kept(folder / "data", script))
    asyncio.run(_later(folder / "data", script))
    report.violations += script.violations + asyncio.run(_kept(folder / "data", script))
    shutil.rmtree(folder)
    return report


def _attempt(folder: Path, script: Script, disk: Disk) -> list[str]:
    """Run the script over the disk; what came of it other than answers, or a server that says why it cannot start."""
    shutil.copytree(script.start.data, folder / "data")
    try:
        with disk.in_use():
            asyncio.run(_run(folder / "data", script))
    except CannotStart:
        pass
    except Exception:
        return [traceback.format_exc()]
    return []


async def _run(data: Path, script: Script) -> None:
    async with running(data, **_SETTINGS) as edge:
        await script.play(edge)


async def _later(data: Path, script: Script) -> None:
    async with running(data, **_SETTINGS) as edge:
        await script.again(edge)


async def _kept(data: Path, script: Script) -> list[str]:
    database = await Database.open(data)
    found = await database.read(script.broken)
    await database.close()
    return [f"{data.name}: {violation}" for violation in found]
