"""More than the server can carry: what finds no room is refused at once, says when to try again, changes nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from actors.errors import DomainError, QuotaInsufficient
from actors.ports import Template
from actors.task import Created, CreateTask
from storage.database import Connection
from tests.edge import Edge
from tests.server.http.holdings import creation, holdings, placed

ROOM = 1024


async def test_creations_beyond_the_room_are_refused_and_nothing_else(edge: Edge) -> None:
    """The writer is held up, so that nothing gets done while more and more is asked for."""
    member = await edge.member()
    url = await placed(edge, member)
    tasks, let_go, held = edge.system._tasks, threading.Event(), asyncio.Event()
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
    under_way = asyncio.create_task(create(0))  # the turn that waits for the writer
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(create(number)) for number in range(1, ROOM + 1)]
    await asyncio.sleep(0)
    for _ in range(3):
        refused = await edge.post("/api/task/create", creation(url), who=member)
        assert refused.refusal == (503, 9003) and refused.headers["Retry-After"] == "1"
    assert (await edge.get("/health")).status == 200
    later = asyncio.create_task(edge.get("/api/task/list", who=member))  # has room of its own, and waits its turn
    let_go.set()
    told = Counter(type(outcome) for outcome in await asyncio.gather(under_way, *waiting))
    assert told == {Created: 100, QuotaInsufficient: ROOM - 99}
    assert (await later).data["total"] <= 100
    await holding
    assert (await edge.post("/api/task/create", creation(url), who=member)).refusal == (403, 1003), "room again"
    assert (await holdings(edge, member)).remaining == 0
