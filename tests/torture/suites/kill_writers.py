"""`kill -9` at random moments under 64 writers: every answered change is there after the restart, exactly once."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

from server.clock import SystemClock
from tests.support.process import ServerProcess, http_client
from tests.support.server import Api
from tests.torture.concurrent_clients import ConcurrentClients
from tests.torture.expected_state import check_rows
from tests.torture.processes import WITH_LARGE_PLAN, torture_server
from tests.torture.suite import SuiteReport, run_rounds

NAME = "kill -9 under 64 writers"
CONTROL = "answers before the commit"

KILLS = 2  # in a round
MEMBERS = 4
MAX_ANSWERS = 300  # before a kill


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    return run_rounds(folder, seeds, _round, mutant=mutant)


async def _round(folder: Path, random: Random, mutant: bool) -> SuiteReport:
    data, program = folder / "data", "answering-before-commit" if mutant else None
    report = SuiteReport()
    async with http_client() as http:
        clients = ConcurrentClients(Api("", http), data, SystemClock(), random)
        for _ in range(KILLS):
            async with torture_server(data, program, **WITH_LARGE_PLAN) as server:
                clients.api.base = server.base
                await _check(clients, report) if clients.users else await clients.register_members(MEMBERS)
                if mutant and report.violations:
                    return report
                report.violations += await _write_until_killed(clients, server, random)
            report.faults += 1
        async with torture_server(data, program, **WITH_LARGE_PLAN) as server:
            clients.api.base = server.base
            await _check(clients, report)
    report.violations += clients.violations
    return report


async def _write_until_killed(clients: ConcurrentClients, server: ServerProcess, random: Random) -> list[str]:
    """Kill after a random number of answers, so that the kill hits any moment of a group commit."""
    kill_at = random.randint(1, MAX_ANSWERS)
    clients.on_answer = _call_at(kill_at, lambda: os.kill(server.process.pid, signal.SIGKILL))
    await clients.write()
    clients.on_answer = lambda number: None
    await server.process.communicate()
    status = server.process.returncode
    return [] if status == -signal.SIGKILL else [f"the server ended by itself, with status {status}"]


def _call_at(number: int, act: Callable[[], None]) -> Callable[[int], None]:
    """Return a callback that calls `act` when it is called for the `number`-th time."""
    count = itertools.count(1)

    def callback(_: int) -> None:
        if next(count) == number:
            with suppress(ProcessLookupError):
                act()

    return callback


async def _check(clients: ConcurrentClients, report: SuiteReport) -> None:
    """Check the restarted server before and after all creations without an answer were sent again."""
    report.checked += len(clients.expected) + len(clients.expected.keyed_answers)
    report.violations += _find_violations(clients)
    await clients.retry_unanswered()
    report.checked += await clients.check_replays()
    report.violations += _find_violations(clients)


def _find_violations(clients: ConcurrentClients) -> list[str]:
    return check_rows(clients.data, clients.expected.find_violations, clients.expected.find_unexpected_tasks)
