"""More than the server can carry: what finds no room is refused at once, says when to try again, changes nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from actors.errors import DomainError, QuotaInsufficient
from actors.ports import PictureTemplate
from actors.quota.commands import Grant, Refund
from actors.runtime import YIELDS_BEFORE_TURN
from actors.task.messages import CreateTask, TaskCreated
from storage.engine.connection import Connection
from storage.task.tasks import FailedTask
from tests.support.account_state import store_picture, task_body
from tests.support.server import LocalServer

ROOM = 1024


async def test_creations_beyond_the_room_are_refused_and_nothing_else(server: LocalServer) -> None:
    """The writer is held up, so that nothing gets done while more and more is asked for."""
    member = await server.new_member()
    url = await store_picture(server, member)
    failing = (await server.post("/api/task/create", task_body(url), user=member)).data["taskId"]
    tasks, quota, let_go, held = server.system._tasks, server.system._quota, threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(held.set)
        let_go.wait()

    async def create(number: int) -> TaskCreated | DomainError:
        try:
            return await tasks.ask(CreateTask(member.id, "basic_clean", f"input {number}", PictureTemplate.ALL))
        except DomainError as refusal:
            return refusal

    holding = asyncio.create_task(server.system._db.write(hold))
    await held.wait()
    try:
        under_way = asyncio.create_task(create(0))  # the turn that waits for the writer
        for _ in range(YIELDS_BEFORE_TURN + 2):
            await asyncio.sleep(0)
        assert not quota._queue
        waiting = [asyncio.create_task(create(number)) for number in range(1, ROOM + 1)]
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
        let_go.set()
    told = Counter(type(outcome) for outcome in await asyncio.gather(under_way, *waiting))
    assert told == {TaskCreated: 99, QuotaInsufficient: ROOM - 98}
    assert await refund, "money owed is not kept out by those who want to spend some"
    await holding
    assert (await server.post("/api/task/create", task_body(url), user=member)).status == 200, "room again"
    assert await server.remaining(member) == 0
