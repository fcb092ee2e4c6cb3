"""SIGTERM under 64 writers and a picture worker: an orderly end, with nothing lost and nobody left behind."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from random import Random

from server.clock import SystemClock
from storage.engine.database import Database
from tests.support.pictures import shirt
from tests.support.process import ServerProcess, http_client, server_process
from tests.support.server import SECRETS, Api
from tests.torture.concurrent_clients import PLENTY, Crowd
from tests.torture.mutants import THREADS_LEFT
from tests.torture.suite import Report

NAME = "SIGTERM under 64 writers"
CONTROL = "answers before the commit, and leaves at once"

MEMBERS = 4
LONGEST = 300  # answers before the signal, at most
END_SECONDS = 20  # a guard: what takes longer is no orderly end
HONEST = ("tests.torture.server",)
BROKEN = (*HONEST, "--broken", "leaving-at-once")
_SETTINGS = {
    "TASKS__WORKERS": "1",
    "SECRETS__MEDIA": SECRETS["media"],
    "SECRETS__INTERNAL": SECRETS["internal"],
    "MEMBERSHIP__PLANS": json.dumps(PLENTY),
}


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    report = Report()
    for seed in seeds:
        found = asyncio.run(_round(folder / str(seed) / "data", Random(seed), BROKEN if broken else HONEST))
        found.violations = [f"seed {seed}: {violation}" for violation in found.violations]
        report.add(found)
    return report


async def _round(data: Path, random: Random, program: Sequence[str]) -> Report:
    data.parent.mkdir(parents=True)
    async with http_client() as http, server_process(data, program, **_SETTINGS) as server:
        crowd = Crowd(Api(server.base, http), data, SystemClock(), random)
        await crowd.gather(MEMBERS)
        await crowd.api.upload(crowd.people[0], shirt())  # which starts a process that has to end, too
        children = _children(server.process.pid)
        found = await _write_until_stopped(crowd, server, random)
    found += [f"process {pid} was left behind" for pid in children if Path(f"/proc/{pid}/stat").exists()]
    report = Report(1, len(crowd.promises), crowd.violations + found)
    report.violations += await _kept(crowd)
    return report


async def _write_until_stopped(crowd: Crowd, server: ServerProcess, random: Random) -> list[str]:
    """The signal comes after a random number of answers; what is wrong with the end that follows."""
    moment, enough = random.randint(1, LONGEST), asyncio.Event()
    crowd.answered = lambda number: enough.set() if number == moment else None
    writing, waiting = asyncio.create_task(crowd.write()), asyncio.create_task(enough.wait())
    await asyncio.wait([writing, waiting], return_when=asyncio.FIRST_COMPLETED)  # a server may also end by itself
    try:
        async with asyncio.timeout(END_SECONDS):
            status = await server.end(signal.SIGTERM)
    except TimeoutError:
        server.process.kill()
        return [f"the server did not end within {END_SECONDS} s"]
    finally:
        waiting.cancel()
        await writing
    found = [] if status == 0 else [f"the exit status was {status}"]
    _, told, threads = server.output.partition(THREADS_LEFT)
    return found + (["the process was gone at once"] if not told else _left(threads))


def _left(threads: str) -> list[str]:
    return [f"thread {thread} was left" for thread in threads.splitlines() if thread]


def _children(pid: int) -> list[int]:
    """The processes that this one has started, on Linux; elsewhere nobody looks."""
    tasks = Path(f"/proc/{pid}/task")
    lists = [list.read_text() for list in tasks.glob("*/children")] if tasks.is_dir() else []
    return [int(child) for line in lists for child in line.split()]


async def _kept(crowd: Crowd) -> list[str]:
    database = await Database.open(crowd.data)
    found = await database.read(crowd.promises.broken) + await database.read(crowd.promises.strangers)
    await database.close()
    return found
