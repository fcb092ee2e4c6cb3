"""More concurrent creations than the balance allows, and many with one key: exactly the paid ones are made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from server.clock import SystemClock
from tests.support.invariants import audit_violations
from tests.support.process import ServerProcess, http_client
from tests.support.server import TIMEOUT_SECONDS, Api, ApiResponse, ApiUser
from tests.support.uploads import picture_url, store_picture_file
from tests.torture.concurrent_clients import UNAVAILABLE
from tests.torture.expected_state import check_database
from tests.torture.processes import torture_server
from tests.torture.suite import SuiteReport, run_rounds

NAME = "overspending and one key many times"
CONTROL = "reads the balance, then writes, in two transactions"

BALANCE = 100
CREATIONS = 1000
CREATIONS_WITH_ONE_KEY = 500
_KEY = {"Idempotency-Key": "one of many"}


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    return run_rounds(folder, seeds, _round, mutant=mutant)


async def _round(folder: Path, random: Random, mutant: bool) -> SuiteReport:
    data, program = folder / "data", "checking-then-acting" if mutant else None
    async with http_client(CREATIONS) as http:
        client = CreationClient(Api("", http), data)
        async with torture_server(data, program) as server:
            client.api.base = server.base
            single, *several = [await client.api.new_member() for _ in range(5)]
            report = await _overspend(client, [single], CREATIONS)
            if mutant and report.violations:
                return report
            report.add(await _overspend(client, several, CREATIONS // len(several)))
            member = await client.api.new_member()
            kill_at = random.randint(1, CREATIONS_WITH_ONE_KEY)
            answers = await client.create_with_one_key(member, kill_at, server)
        async with torture_server(data, program) as server:
            client.api.base = server.base
            report.add(await _check_one_key(client, member, answers + await client.create_with_one_key(member)))
    report.violations += await check_database(data, audit_violations)
    return report


async def _overspend(client: CreationClient, members: Sequence[ApiUser], each: int) -> SuiteReport:
    """Let all members create at once, `each` of them far more than the balance allows."""
    senders = [member for member in members for _ in range(each)]
    answers = await asyncio.gather(*(client.create(member) for member in senders))
    violations = []
    for member in members:
        counts = Counter(_result(a) for a, sender in zip(answers, senders, strict=True) if sender is member)
        if counts != {(200, 0): BALANCE, (403, 1003): each - BALANCE}:
            violations.append(f"{each} creations with a balance of {BALANCE} were answered {dict(counts)}")
        if remaining := await client.api.remaining(member):
            violations.append(f"{remaining} of {BALANCE} remain")
    return SuiteReport(checked=len(answers), violations=violations)


async def _check_one_key(client: CreationClient, member: ApiUser, answers: Sequence[ApiResponse]) -> SuiteReport:
    """Check that both server runs made one task, one charge and one answer, and that another body is refused."""
    violations = [f"one key was answered {raw!r}" for raw in {answer.raw for answer in answers}][1:]
    if (ledger := await client.api.ledger(member)) != [("grant", BALANCE, BALANCE), ("charge", -1, BALANCE - 1)]:
        violations.append(f"one key led to the ledger {ledger}")
    other = await client.create(member, _KEY, template="matting")
    if _result(other) != (422, 4022):
        violations.append(f"the key with another body was answered {other.status} {other.content}")
    return SuiteReport(1, len(answers) + 1, violations)


@dataclass(slots=True)
class CreationClient:
    """Creates tasks from one picture for each member."""

    api: Api
    data: Path
    pictures: dict[str, str] = field(default_factory=dict)  # object key by user id

    async def create(self, member: ApiUser, headers: Mapping[str, str] | None = None, **params: str) -> ApiResponse:
        """Create a task. Send the request again as long as the server answers 503."""
        if member.id not in self.pictures:
            self.pictures[member.id] = store_picture_file(self.data, member)
        url = picture_url(self.api, self.data, SystemClock(), self.pictures[member.id])
        body = {"type": "basic_clean", "inputImageUrl": url, "params": params}
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                answer = await self.api.post("/api/task/create", body, user=member, headers=headers or {})
                if answer.status != UNAVAILABLE:
                    return answer

    async def create_with_one_key(
        self, member: ApiUser, kill_at: int | None = None, server: ServerProcess | None = None
    ) -> list[ApiResponse]:
        """Send many creations with one key at once, and kill the server at an answer. Return the answers received."""
        answers: list[ApiResponse] = []

        async def create() -> None:
            with suppress(aiohttp.ClientError):
                answers.append(await self.create(member, _KEY))
                if len(answers) == kill_at and server is not None:
                    server.process.kill()

        await asyncio.gather(*(create() for _ in range(CREATIONS_WITH_ONE_KEY)))
        return answers


def _result(answer: ApiResponse) -> tuple[int, int]:
    """Return the HTTP status, and the error code or 0."""
    return (answer.status, 0) if answer.status == 200 else (answer.status, answer.content["error"]["code"])
