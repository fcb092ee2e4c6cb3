"""SIGTERM under 64 writers and a picture worker: an orderly end that loses no answer and leaves no process behind."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from random import Random

from server.clock import SystemClock
from tests.support.pictures import shirt
from tests.support.process import ServerProcess, http_client
from tests.support.server import Api
from tests.torture.concurrent_clients import ConcurrentClients
from tests.torture.expected_state import check_database
from tests.torture.mutants.stop import THREADS_LEFT
from tests.torture.processes import WITH_LARGE_PLAN, torture_server
from tests.torture.suite import SuiteReport, run_rounds

NAME = "SIGTERM under 64 writers"
CONTROL = "answers before the commit, and leaves without it"

MEMBERS = 4
MAX_ANSWERS = 300  # before the signal
STOP_SECONDS = 20


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    return run_rounds(folder, seeds, _round, mutant=mutant)


async def _round(folder: Path, random: Random, mutant: bool) -> SuiteReport:
    data, program = folder / "data", "leaving-without-commit" if mutant else None
    settings = {"TASKS__WORKERS": "1", **WITH_LARGE_PLAN}
    async with http_client() as http, torture_server(data, program, **settings) as server:
        clients = ConcurrentClients(Api(server.base, http), data, SystemClock(), random)
        await clients.register_members(MEMBERS)
        await clients.api.upload(clients.users[0], shirt())  # starts a picture process, which has to end as well
        children = _child_processes(server.process.pid)
        violations = await _write_until_stopped(clients, server, random)
    violations += [f"process {pid} was left behind" for pid in children if Path(f"/proc/{pid}/stat").exists()]
    violations += await check_database(data, clients.expected.find_violations, clients.expected.find_unexpected_tasks)
    if not mutant:  # the mutant has to be found by its lost answers
        violations += clients.violations
    return SuiteReport(1, len(clients.expected), violations)


async def _write_until_stopped(clients: ConcurrentClients, server: ServerProcess, random: Random) -> list[str]:
    """Send SIGTERM after a random number of answers. Return what was not orderly in the end that followed."""
    stop_at, reached = random.randint(1, MAX_ANSWERS), asyncio.Event()
    clients.on_answer = lambda number: reached.set() if number == stop_at else None
    writing, waiting = asyncio.create_task(clients.write()), asyncio.create_task(reached.wait())
    await asyncio.wait([writing, waiting], return_when=asyncio.FIRST_COMPLETED)  # `writing` ends if the server dies
    try:
        async with asyncio.timeout(STOP_SECONDS):
            status = await server.end(signal.SIGTERM)
    except TimeoutError:
        server.process.kill()
        return [f"the server did not end within {STOP_SECONDS} s"]
    finally:
        waiting.cancel()
        await writing
    return ([] if status == 0 else [f"the exit status was {status}"]) + _check_output(server.output)


def _check_output(output: str) -> list[str]:
    """Check that server.py came to its end and that no thread was running then."""
    _, printed, threads = output.partition(THREADS_LEFT)
    if not printed:
        return ["the program was ended before its last line"]
    return [f"thread {thread} was left" for thread in threads.splitlines() if thread]


def _child_processes(pid: int) -> list[int]:
    """Return the ids of the process's children on Linux, and none on other systems."""
    tasks = Path(f"/proc/{pid}/task")
    lists = [list.read_text() for list in tasks.glob("*/children")] if tasks.is_dir() else []
    return [int(child) for line in lists for child in line.split()]
