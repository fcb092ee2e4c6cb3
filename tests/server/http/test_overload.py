"""Overload: requests beyond the capacity are refused immediately, say when to try again, and change nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from actors.errors import DomainError, QuotaInsufficient
from actors.quota.commands import Grant, Refund
from actors.runtime import YIELDS_BEFORE_TURN
from actors.task.messages import CreateTask, TaskCreated
from storage.engine.connection import Connection
from storage.task.tasks import FailedTask
from tests.support.server import LocalServer
from tests.support.uploads import store_picture, task_body

CAPACITY = 1024


async def test_only_creations_beyond_the_capacity_are_refused(server: LocalServer) -> None:
    """The database's writer is blocked, so that creations pile up."""
    member = await server.new_member()
    url = await store_picture(server, member)
    failing = (await server.post("/api/task/create", task_body(url), user=member)).data["taskId"]
    tasks, quota, release, started = server.system._tasks, server.system._quota, threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait()

    async def create(number: int) -> TaskCreated | DomainError:
        try:
            return await tasks.ask(CreateTask(member.id, "basic_clean", url, {}))
        except DomainError as refusal:
            return refusal

    holding = asyncio.create_task(server.system._db.write(hold))
    await started.wait()
    try:
        first = asyncio.create_task(create(0))  # its turn waits for the writer
        for _ in range(YIELDS_BEFORE_TURN + 2):
            await asyncio.sleep(0)
        assert not quota._queue
        waiting = [asyncio.create_task(create(number)) for number in range(1, CAPACITY + 1)]
        await asyncio.sleep(0)
        for _ in range(3):
            refused = await server.post("/api/task/create", task_body(url), user=member)
            assert refused.refusal == (503, 9003) and refused.headers["Retry-After"] == "1"
        assert (await server.get("/health")).status == 200
        listed = await server.get("/api/task/list", user=member)
        assert listed.data["total"] == 1, "reads do not wait for the writer"
        refund = asyncio.create_task(quota.ask(Refund(FailedTask(failing, member.id, "internal"))))
        await asyncio.sleep(0)
        quota.check_capacity(Grant)
    finally:
        release.set()
    outcomes = Counter(type(outcome) for outcome in await asyncio.gather(first, *waiting))
    assert outcomes == {TaskCreated: 99, QuotaInsufficient: CAPACITY - 98}
    assert await refund, "creations must not keep a refund out"
    await holding
    assert (await server.post("/api/task/create", task_body(url), user=member)).status == 200, "there is capacity again"
    assert await server.remaining(member) == 0
