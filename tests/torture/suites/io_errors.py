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
from storage.engine.database import Database
from tests.support.server import running_server
from tests.torture.disk.disk import Disk, put
from tests.torture.disk.faults import Fault, Trouble
from tests.torture.mutants import Confident, connections
from tests.torture.scenario import FirstStart, Story
from tests.torture.suite import Report
from tests.torture.workload import Errands, Start

NAME = "I/O errors at the N-th operation"
CONTROL = "a failed COMMIT is answered as a success"

SLICES = 20
_SETTINGS: dict[str, Any] = {"tasks": {"workers": 0}}
_NEVER = 1_000_000_000


Variant = Callable[[], AbstractContextManager[None]]
Plot = tuple[Fault, Callable[[], Story]]


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    variant: Variant = (lambda: connections(Confident)) if broken else nullcontext
    folder.mkdir(parents=True, exist_ok=True)
    plots = _plots(folder, asyncio.run(_prepare(folder / "start")))
    report = Report()
    for seed in seeds:
        for number in range(seed % SLICES, len(plots), SLICES):
            fault, story = plots[number]
            found = _round(folder / f"{seed} {number}", story(), fault, variant)
            found.violations = [f"seed {seed}, {story().__class__.__name__}, {fault}: {v}" for v in found.violations]
            report.add(found)
            if broken and report.violations:
                return report  # once is enough
    return report


def _plots(folder: Path, start: Start) -> list[Plot]:
    """Every fault that either story can meet."""
    stories: list[Callable[[], Story]] = [lambda: Errands(start), FirstStart]
    return [
        (Fault(trouble, at, lasting), story)
        for story in stories
        for trouble in Trouble
        for at in range(1, _count(folder / "count", story(), trouble) + 1)
        for lasting in (False, True)
    ]


async def _prepare(data: Path) -> Start:
    """A healthy start to copy for each round: a member with two tasks, and an order to be paid."""
    async with running_server(data, **_SETTINGS) as server:
        return await Start.prepare(server)


def _count(folder: Path, story: Story, trouble: Trouble) -> int:
    """How many operations of the whole story this trouble can hit."""
    disk = Disk(fault=Fault(trouble, _NEVER, False))
    _attempt(folder, story, disk)
    shutil.rmtree(folder)
    return disk.concerned


def _round(folder: Path, story: Story, fault: Fault, variant: Variant) -> Report:
    disk = Disk(fault=fault)
    with variant():
        broken = _attempt(folder, story, disk)
    report = Report(disk.faults, story.answers, broken)
    image = disk.power_cut(Random(fault.at))
    if "darkroom.sqlite3" in image:
        put(image, folder / "cut")
        report.violations += asyncio.run(_kept(folder / "cut", story))
    report.violations += asyncio.run(_kept(folder / "data", story))
    asyncio.run(_later(folder / "data", story))
    report.violations += story.violations + asyncio.run(_kept(folder / "data", story))
    shutil.rmtree(folder)
    return report


def _attempt(folder: Path, story: Story, disk: Disk) -> list[str]:
    """Run the story over the disk; what came of it other than answers, or a server that says why it cannot start."""
    folder.mkdir()
    if story.source is not None:
        shutil.copytree(story.source, folder / "data")
    try:
        with disk.in_use():
            asyncio.run(_run(folder / "data", story))
    except CannotStart:
        pass
    except Exception:
        return [traceback.format_exc()]
    return []


async def _run(data: Path, story: Story) -> None:
    async with running_server(data, **_SETTINGS) as server:
        await story.play(server)


async def _later(data: Path, story: Story) -> None:
    async with running_server(data, **_SETTINGS) as server:
        await story.again(server)


async def _kept(data: Path, story: Story) -> list[str]:
    database = await Database.open(data)
    found = await database.read(story.broken)
    await database.close()
    return [f"{data.name}: {violation}" for violation in found]
