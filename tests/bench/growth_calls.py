"""The calls that may not get slower as a database grows, each made by somebody picked at random."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp

from actors.ids import new_id
from storage.totals import overview
from tests.bench.sampled_users import Visitor

PAGE = 5  # rows of a list: both databases have as many


@dataclass(frozen=True, slots=True)
class House:
    """A server that runs at `base`, and a connection of our own to its database for what has no call yet."""

    base: str
    http: aiohttp.ClientSession
    connection: sqlite3.Connection
    visitors: Sequence[Visitor]
    chance: random.Random

    async def seconds(self, call: Call) -> float:
        """What the call takes, made by somebody."""
        visitor = self.chance.choice(self.visitors)
        begun = time.perf_counter()
        await call(self, visitor)
        return time.perf_counter() - begun

    async def get(self, visitor: Visitor, path: str) -> None:
        async with self.http.get(self.base + path, headers=visitor.headers) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()


Call = Callable[[House, Visitor], Awaitable[None]]


async def create(house: House, visitor: Visitor) -> None:
    body = {"type": "basic_clean", "inputImageUrl": visitor.image_url}
    headers = {**visitor.headers, "Idempotency-Key": new_id()}
    async with house.http.post(f"{house.base}/api/task/create", json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()


async def read(house: House, visitor: Visitor) -> None:
    await house.get(visitor, f"/api/task/{house.chance.choice(visitor.tasks)}")


async def first_page(house: House, visitor: Visitor) -> None:
    await house.get(visitor, f"/api/task/list?limit={PAGE}")


async def filtered(house: House, visitor: Visitor) -> None:
    await house.get(visitor, f"/api/task/list?limit={PAGE}&status=success")


async def last_page(house: House, visitor: Visitor) -> None:
    await house.get(visitor, f"/api/task/list?limit={PAGE}&cursor={visitor.tasks[PAGE]}")


async def ledger(house: House, visitor: Visitor) -> None:
    await house.get(visitor, f"/api/quota/ledger?limit={PAGE}")


async def status(house: House, visitor: Visitor) -> None:
    await house.get(visitor, "/api/membership/status")


async def counts(house: House, visitor: Visitor) -> None:
    assert overview(house.connection).users > 0


CALLS: dict[str, Call] = {
    "create a task": create,
    "read a task": read,
    "list tasks, first page": first_page,
    "list tasks by status": filtered,
    "list tasks, last page": last_page,
    "ledger": ledger,
    "membership status": status,
    "operator's counts": counts,
}
