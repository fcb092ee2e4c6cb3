"""`kill -9` at random moments under 64 writers: what was answered is there at the next start, and happened once."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from server.clock import SystemClock
from tests.support.process import ServerProcess, http_client, server_process
from tests.support.server import SECRETS, Api
from tests.torture.concurrent_clients import PLENTY, Crowd
from tests.torture.suite import Report

NAME = "kill -9 under 64 writers"
CONTROL = "answers before the commit"

KILLS = 2  # a round
MEMBERS = 4
LONGEST = 300  # answers before a kill, at most
_SETTINGS = {
    "TASKS__WORKERS": "0",
    "SECRETS__MEDIA": SECRETS["media"],
    "SECRETS__INTERNAL": SECRETS["internal"],
    "MEMBERSHIP__PLANS": json.dumps(PLENTY),
}
HONEST = ("tests.torture.server",)
BROKEN = (*HONEST, "--broken", "answering-before-commit")


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    report = Report()
    for seed in seeds:
        found = asyncio.run(_round(folder / str(seed) / "data", Random(seed), BROKEN if broken else HONEST))
        found.violations = [f"seed {seed}: {violation}" for violation in found.violations]
        report.add(found)
    return report


async def _round(data: Path, random: Random, program: Sequence[str]) -> Report:
    data.parent.mkdir(parents=True)
    report = Report()
    async with http_client() as http:
        crowd = Crowd(Api("", http), data, SystemClock(), random)
        for _ in range(KILLS):
            async with server_process(data, program, **_SETTINGS) as server:
                crowd.api.base = server.base
                await _check(crowd, report) if crowd.people else await crowd.gather(MEMBERS)
                report.violations += await _write_until_killed(crowd, server, random)
            report.faults += 1
        async with server_process(data, program, **_SETTINGS) as server:
            crowd.api.base = server.base
            await _check(crowd, report)
    report.violations += crowd.violations
    return report


async def _write_until_killed(crowd: Crowd, server: ServerProcess, random: Random) -> list[str]:
    """The moment is a number of answers, so that it lies anywhere in a group of transactions."""
    crowd.answered = _at(random.randint(1, LONGEST), lambda: os.kill(server.process.pid, signal.SIGKILL))
    await crowd.write()
    crowd.answered = lambda number: None
    await server.process.communicate()
    status = server.process.returncode
    return [] if status == -signal.SIGKILL else [f"the server ended by itself, with status {status}"]


def _at(number: int, act: Callable[[], None]) -> Callable[[int], None]:
    """Act at the `number`-th call."""
    count = itertools.count(1)

    def called(_: int) -> None:
        if next(count) == number:
            with suppress(ProcessLookupError):
                act()

    return called


async def _check(crowd: Crowd, report: Report) -> None:
    """What the restarted server holds, before and after everybody has tried again what was never answered."""
    report.checked += len(crowd.promises) + len(crowd.promises.keyed)
    report.violations += _broken(crowd)
    await crowd.settle_unanswered()
    report.checked += await crowd.check_replays()
    report.violations += _broken(crowd)


def _broken(crowd: Crowd) -> list[str]:
    """Read beside the running server, on a connection that cannot write."""
    with closing(sqlite3.connect(f"{(crowd.data / 'darkroom.sqlite3').as_uri()}?mode=ro", uri=True)) as connection:
        return crowd.promises.broken(connection) + crowd.promises.strangers(connection)
