"""More than the server can carry: what finds no room is refused at once, says when to try again, changes nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from actors.errors import DomainError, QuotaInsufficient
from actors.ports import Template
from actors.quota.actor import Grant, Refund
from actors.runtime import ROUNDS
from actors.task.actor import Created, CreateTask
from storage.engine.database import Connection
from storage.task.tasks import FailedTask
from tests.support.account_state import creation, placed
from tests.support.server import Edge

ROOM = 1024


async def test_creations_beyond_the_room_are_refused_and_nothing_else(edge: Edge) -> None:
    """The writer is held up, so that nothing gets done while more and more is asked for."""
    member = await edge.member()
    url = await placed(edge, member)
    failing = (await edge.post("/api/task/create", creation(url), who=member)).data["taskId"]
    tasks, quota, let_go, held = edge.system._tasks, edge.system._quota, threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(held.set)
        let_go.wait()

    async def create(number: int) -> Created | DomainError:
        try:
            return await tasks.ask(CreateTask(member.id, "basic_clean", f"input {number}", Template.ALL))
        except DomainError as refusal:
            return refusal

    holding = asyncio.create_task(edge.system._db.write(hold))
    await held.wait()
    try:
        under_way = asyncio.create_task(create(0))  # the turn that waits for the writer
        for _ in range(ROUNDS + 2):
            await asyncio.sleep(0)
        assert not quota._waiting
        waiting = [asyncio.create_task(create(number)) for number in range(1, ROOM + 1)]
        await asyncio.sleep(0)
        for _ in range(3):
            refused = await edge.post("/api/task/create", creation(url), who=member)
            assert refused.refusal == (503, 9003) and refused.headers["Retry-After"] == "1"
        assert (await edge.get("/health")).status == 200
        listed = await edge.get("/api/task/list", who=member)
        assert listed.data["total"] == 1, "reads do not wait for the writer"
        refund = asyncio.create_task(quota.ask(Refund(FailedTask(failing, member.id, "internal"))))
        await asyncio.sleep(0)
        quota.check_room(Grant)
    finally:
        let_go.set()
    told = Counter(type(outcome) for outcome in await asyncio.gather(under_way, *waiting))
    assert told == {Created: 99, QuotaInsufficient: ROOM - 98}
    assert await refund, "money owed is not kept out by those who want to spend some"
    await holding
    assert (await edge.post("/api/task/create", creation(url), who=member)).status == 200, "room again"
    assert await edge.remaining(member) == 0
