"""The calls that must not become slower as the database grows. A random user makes each of them."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp

from actors.ids import new_id
from storage.totals import overview
from tests.bench.sampled_users import SampledUser

PAGE = 5  # rows of a list; every user of both databases has more


@dataclass(frozen=True, slots=True)
class ServerUnderTest:
    """A running server at `base`, and a connection to its database for the operator's counts, which have no call."""

    base: str
    http: aiohttp.ClientSession
    connection: sqlite3.Connection
    users: Sequence[SampledUser]
    rng: random.Random

    async def seconds(self, call: Call) -> float:
        """Make the call as a random user and return its duration."""
        user = self.rng.choice(self.users)
        start = time.perf_counter()
        await call(self, user)
        return time.perf_counter() - start

    async def get(self, user: SampledUser, path: str) -> None:
        async with self.http.get(self.base + path, headers=user.headers) as response:
            assert response.status == 200, await response.text()
            await response.read()


Call = Callable[[ServerUnderTest, SampledUser], Awaitable[None]]


async def create_task(server: ServerUnderTest, user: SampledUser) -> None:
    body = {"type": "basic_clean", "inputImageUrl": user.image_url}
    headers = {**user.headers, "Idempotency-Key": new_id()}
    async with server.http.post(f"{server.base}/api/task/create", json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        await response.read()


async def read_task(server: ServerUnderTest, user: SampledUser) -> None:
    await server.get(user, f"/api/task/{server.rng.choice(user.tasks)}")


async def list_first_page(server: ServerUnderTest, user: SampledUser) -> None:
    await server.get(user, f"/api/task/list?limit={PAGE}")


async def list_by_status(server: ServerUnderTest, user: SampledUser) -> None:
    await server.get(user, f"/api/task/list?limit={PAGE}&status=success")


async def list_last_page(server: ServerUnderTest, user: SampledUser) -> None:
    await server.get(user, f"/api/task/list?limit={PAGE}&cursor={user.tasks[PAGE]}")


async def read_ledger(server: ServerUnderTest, user: SampledUser) -> None:
    await server.get(user, f"/api/quota/ledger?limit={PAGE}")


async def read_status(server: ServerUnderTest, user: SampledUser) -> None:
    await server.get(user, "/api/membership/status")


async def read_counts(server: ServerUnderTest, user: SampledUser) -> None:
    assert overview(server.connection).users > 0


CALLS: dict[str, Call] = {
    "create a task": create_task,
    "read a task": read_task,
    "list tasks, first page": list_first_page,
    "list tasks by status": list_by_status,
    "list tasks, last page": list_last_page,
    "ledger": read_ledger,
    "membership status": read_status,
    "operator's counts": read_counts,
}
