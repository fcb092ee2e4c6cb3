"""More creations at once than the balance allows, and many with one key: exactly what is paid for is made."""

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
from server.gateways.objects.local import LocalObjects
from storage.engine.database import Database
from tests.support.invariants import audit_violations
from tests.support.process import ServerProcess, http_client, server_process
from tests.support.server import SECRETS, TIMEOUT_SECONDS, Api, ApiResponse, User
from tests.torture.concurrent_clients import BUSY, place_picture
from tests.torture.suite import Report

NAME = "overspending and one key many times"
CONTROL = "reads the balance, then writes, in two transactions"

BALANCE = 100
CREATIONS = 1000
SAME_KEY = 500
HONEST = ("tests.torture.server",)
BROKEN = (*HONEST, "--broken", "checking-then-acting")
_SETTINGS = {"TASKS__WORKERS": "0", "SECRETS__MEDIA": SECRETS["media"]}
_KEY = {"Idempotency-Key": "one of many"}


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    report = Report()
    for seed in seeds:
        found = asyncio.run(_round(folder / str(seed) / "data", Random(seed), BROKEN if broken else HONEST))
        found.violations = [f"seed {seed}: {violation}" for violation in found.violations]
        report.add(found)
    return report


async def _round(data: Path, random: Random, program: Sequence[str]) -> Report:
    data.parent.mkdir(parents=True)
    async with http_client(CREATIONS) as http:
        shop = Shop(Api("", http), data)
        async with server_process(data, program, **_SETTINGS) as server:
            shop.api.base = server.base
            alone, *several = [await shop.api.new_member() for _ in range(5)]
            report = await _overspend(shop, [alone], CREATIONS)
            report.add(await _overspend(shop, several, CREATIONS // len(several)))
            keyed = await shop.api.new_member()
            first = await shop.same_key(keyed, random.randint(1, SAME_KEY), server)
        async with server_process(data, program, **_SETTINGS) as server:
            shop.api.base = server.base
            report.add(await _check_key(shop, keyed, first + await shop.same_key(keyed)))
    report.violations += await _sums(data)
    return report


async def _overspend(shop: Shop, members: Sequence[User], each: int) -> Report:
    """All at once, and far more than they can pay for."""
    buyers = [member for member in members for _ in range(each)]
    answers = await asyncio.gather(*(shop.create(member) for member in buyers))
    found = []
    for member in members:
        got = Counter(_said(a) for a, buyer in zip(answers, buyers, strict=True) if buyer is member)
        if got != {(200, 0): BALANCE, (403, 1003): each - BALANCE}:
            found.append(f"of {each} creations for {BALANCE} were answered {dict(got)}")
        if left := await shop.api.remaining(member):
            found.append(f"{left} were left of {BALANCE}")
    return Report(checked=len(answers), violations=found)


async def _check_key(shop: Shop, member: User, answers: Sequence[ApiResponse]) -> Report:
    """Over both servers there was one task, one charge and one answer, byte by byte; another body is refused."""
    found = [f"one key was answered {raw!r}" for raw in {answer.raw for answer in answers}][1:]
    if (ledger := await shop.api.ledger(member)) != [("grant", BALANCE, BALANCE), ("charge", -1, BALANCE - 1)]:
        found.append(f"one key led to the ledger {ledger}")
    other = await shop.create(member, _KEY, template="matting")
    if _said(other) != (422, 4022):
        found.append(f"the key with another body was answered {other.status} {other.content}")
    return Report(1, len(answers) + 1, found)


@dataclass(slots=True)
class Shop:
    api: Api
    data: Path
    pictures: dict[str, str] = field(default_factory=dict)  # object key by user id

    async def create(self, member: User, headers: Mapping[str, str] | None = None, **params: str) -> ApiResponse:
        """Tried again while the server is too busy to look at it."""
        body = {"type": "basic_clean", "inputImageUrl": self._picture(member), "params": params}
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                answer = await self.api.post("/api/task/create", body, user=member, headers=headers or {})
                if answer.status != BUSY:
                    return answer

    async def same_key(
        self, member: User, last: int = SAME_KEY + 1, server: ServerProcess | None = None
    ) -> list[ApiResponse]:
        """Many creations with one key at once; the server is killed after the `last` answer. What was answered."""
        answers: list[ApiResponse] = []

        async def create() -> None:
            with suppress(aiohttp.ClientError):
                answers.append(await self.create(member, _KEY))
                if len(answers) == last and server is not None:
                    server.process.kill()

        await asyncio.gather(*(create() for _ in range(SAME_KEY)))
        return answers

    def _picture(self, member: User) -> str:
        if member.id not in self.pictures:
            self.pictures[member.id] = place_picture(self.data, member)
        store = LocalObjects(self.data / "pictures", self.api.base, SECRETS["media"], SystemClock())
        return store.sign_download(self.pictures[member.id])


def _said(answer: ApiResponse) -> tuple[int, int]:
    """The status, and the code of a refusal."""
    return (answer.status, 0) if answer.status == 200 else (answer.status, answer.content["error"]["code"])


async def _sums(data: Path) -> list[str]:
    database = await Database.open(data)
    found = await database.read(audit_violations)
    await database.close()
    return found
