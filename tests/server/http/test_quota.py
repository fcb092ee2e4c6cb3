"""The balance and its ledger: exact under parallel spending, paged, and nobody else's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.account_state import account_state, store_picture, task_body
from tests.support.server import LocalServer, running_server

TEN = {"plans": [{"id": "ten", "name": "Ten", "price": 100, "quota": 10, "days": 30}]}


@pytest.fixture
async def ten(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server that sells ten generations at a time."""
    async with running_server(tmp_path / "ten", tasks={"workers": 0}, membership=TEN) as server:
        yield server


async def test_of_a_hundred_creations_at_once_exactly_ten_are_paid(ten: LocalServer) -> None:
    member = await ten.new_member()
    body = task_body(await store_picture(ten, member))
    answers = await asyncio.gather(*(ten.post("/api/task/create", body, user=member) for _ in range(100)))
    outcomes = Counter((200, 0) if answer.status == 200 else answer.refusal for answer in answers)
    assert outcomes == {(200, 0): 10, (403, 1003): 90}
    left = sorted(answer.data["quota_remaining"] for answer in answers if answer.status == 200)
    assert left == list(range(10))
    after = await account_state(ten, member)
    assert (after.remaining, len(after.tasks)) == (0, 10)
    assert after.ledger == [("grant", 10, 10)] + [("charge", -1, left) for left in range(9, -1, -1)]


async def test_two_people_spend_their_own(ten: LocalServer) -> None:
    one, two = await ten.new_member(), await ten.new_member()
    bodies = [(user, task_body(await store_picture(ten, user))) for user in (one, two)]
    calls = [ten.post("/api/task/create", body, user=user) for _ in range(15) for user, body in bodies]
    answers = await asyncio.gather(*calls)
    assert sum(answer.status == 200 for answer in answers[0::2]) == 10
    assert sum(answer.status == 200 for answer in answers[1::2]) == 10


async def test_a_cost_above_the_balance_is_refused_whole(tmp_path: Path) -> None:
    costly = {"workers": 0, "cost": {"basic_clean": 4}}
    async with running_server(tmp_path / "costly", tasks=costly, membership=TEN) as server:
        member = await server.new_member()
        body = task_body(await store_picture(server, member))
        answers = [await server.post("/api/task/create", body, user=member) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 403]
        assert answers[2].refusal == (403, 1003)
        assert "需要 4 次，剩余 2 次" in answers[2].content["error"]["message"]
        assert await server.ledger(member) == [("grant", 10, 10), ("charge", -4, 6), ("charge", -4, 2)]


async def test_the_ledger_comes_newest_first_in_pages(server: LocalServer) -> None:
    member = await server.new_member()
    url = await store_picture(server, member)
    made = [(await server.create_task(member, url))["taskId"] for _ in range(6)]
    references: list[str] = []
    path = "/api/quota/ledger?limit=3"
    while path:
        page = (await server.get(path, user=member)).data
        assert len(page["entries"]) <= 3
        references += [entry["reference"] for entry in page["entries"]]
        path = page["nextCursor"] and f"/api/quota/ledger?limit=3&cursor={page['nextCursor']}"
    assert references[:-1] == made[::-1], "and the order that granted them at the end"
    assert len(references) == 7


async def test_a_page_that_is_just_full_has_no_next(server: LocalServer) -> None:
    member = await server.new_member()
    page = (await server.get("/api/quota/ledger?limit=1", user=member)).data
    assert (len(page["entries"]), page["nextCursor"]) == (1, None)


async def test_a_cursor_of_somebody_else_shows_nothing_of_theirs(server: LocalServer) -> None:
    other, member = await server.new_member(), await server.new_member()
    await server.create_task(other, await store_picture(server, other))
    newest, _ = (await server.get("/api/quota/ledger", user=other)).data["entries"]
    for cursor in (newest["id"], "9" * 18):
        entries = (await server.get(f"/api/quota/ledger?cursor={cursor}", user=member)).data["entries"]
        assert entries == []
    assert (await server.get("/api/quota/ledger?userId=" + other.id, user=await server.new_user())).data[
        "entries"
    ] == []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=-1", "limit=1000000000", "limit=" + "9" * 5000, "limit=1.0", "limit=1e1"),
        *("limit=+5", "limit=%205", "limit=5%0A", "limit=", "limit=ten", "limit=0x5", "limit=NaN", "limit=true"),
        *("limit=%EF%BC%95", "limit=%D9%A5", "limit=5_0", "limit[]=5&limit=", "limit=%ED%A0%80", "limit=%00"),
        *("cursor=", "cursor=x", "cursor=-1", "cursor=1.0", "cursor=" + "9" * 19, "cursor=" + "a" * 32),
        *("cursor=1%0A", "cursor=%001", "cursor=%EF%BC%91", "cursor=" + "9" * 5000),
    ],
)
async def test_paging_has_bounds(server: LocalServer, query: str) -> None:
    person = await server.new_user()
    assert (await server.get(f"/api/quota/ledger?{query}", user=person)).refusal == (400, 4001)


async def test_unknown_parameters_are_passed_over(server: LocalServer) -> None:
    member = await server.new_member()
    page = (await server.get("/api/quota/ledger?limit=5&order=asc&%00=%00&%ED%A0%80=1", user=member)).data
    assert len(page["entries"]) == 1


async def test_who_never_bought_has_nothing(server: LocalServer) -> None:
    person = await server.new_user()
    nothing = {"remaining": 0, "isMember": False, "expireAt": None}
    assert (await server.get("/api/quota", user=person)).data == nothing
