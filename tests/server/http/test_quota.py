"""The balance and the ledger: exact under concurrent charges, listed in pages, visible only to their owner."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.account_state import account_state
from tests.support.server import LocalServer, running_server
from tests.support.uploads import store_picture, task_body

TEN_GENERATIONS = {"plans": [{"id": "ten", "name": "Ten", "price": 100, "quota": 10, "days": 30}]}


@pytest.fixture
async def small_plan(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """Run a server whose plan has ten generations."""
    async with running_server(tmp_path / "ten", tasks={"workers": 0}, membership=TEN_GENERATIONS) as server:
        yield server


async def test_of_a_hundred_concurrent_creations_exactly_the_ten_paid_ones_succeed(small_plan: LocalServer) -> None:
    member = await small_plan.new_member()
    body = task_body(await store_picture(small_plan, member))
    responses = await asyncio.gather(*(small_plan.post("/api/task/create", body, user=member) for _ in range(100)))
    outcomes = Counter((200, 0) if response.status == 200 else response.refusal for response in responses)
    assert outcomes == {(200, 0): 10, (403, 1003): 90}
    remaining = sorted(response.data["quota_remaining"] for response in responses if response.status == 200)
    assert remaining == list(range(10))
    after = await account_state(small_plan, member)
    assert (after.remaining, len(after.tasks)) == (0, 10)
    assert after.ledger == [("grant", 10, 10)] + [("charge", -1, remaining) for remaining in range(9, -1, -1)]


async def test_two_users_spend_only_their_own_quota(small_plan: LocalServer) -> None:
    one, two = await small_plan.new_member(), await small_plan.new_member()
    bodies = [(user, task_body(await store_picture(small_plan, user))) for user in (one, two)]
    calls = [small_plan.post("/api/task/create", body, user=user) for _ in range(15) for user, body in bodies]
    responses = await asyncio.gather(*calls)
    assert sum(response.status == 200 for response in responses[0::2]) == 10
    assert sum(response.status == 200 for response in responses[1::2]) == 10


async def test_a_task_that_costs_more_than_the_balance_is_not_charged_at_all(tmp_path: Path) -> None:
    costly = {"workers": 0, "cost": {"basic_clean": 4}}
    async with running_server(tmp_path / "costly", tasks=costly, membership=TEN_GENERATIONS) as server:
        member = await server.new_member()
        body = task_body(await store_picture(server, member))
        responses = [await server.post("/api/task/create", body, user=member) for _ in range(3)]
        assert [response.status for response in responses] == [200, 200, 403]
        assert responses[2].refusal == (403, 1003)
        assert "需要 4 次，剩余 2 次" in responses[2].content["error"]["message"]
        assert await server.ledger(member) == [("grant", 10, 10), ("charge", -4, 6), ("charge", -4, 2)]


async def test_the_ledger_is_listed_newest_first_in_pages(server: LocalServer) -> None:
    member = await server.new_member()
    url = await store_picture(server, member)
    task_ids = [(await server.create_task(member, url))["taskId"] for _ in range(6)]
    references: list[str] = []
    path = "/api/quota/ledger?limit=3"
    while path:
        page = (await server.get(path, user=member)).data
        assert len(page["entries"]) <= 3
        references += [entry["reference"] for entry in page["entries"]]
        path = page["nextCursor"] and f"/api/quota/ledger?limit=3&cursor={page['nextCursor']}"
    assert references[:-1] == task_ids[::-1], "the last entry is the grant of the order"
    assert len(references) == 7


async def test_the_last_page_has_no_next_cursor_even_if_it_is_full(server: LocalServer) -> None:
    member = await server.new_member()
    page = (await server.get("/api/quota/ledger?limit=1", user=member)).data
    assert (len(page["entries"]), page["nextCursor"]) == (1, None)


async def test_the_cursor_of_another_user_reveals_no_entries(server: LocalServer) -> None:
    other, member = await server.new_member(), await server.new_member()
    await server.create_task(other, await store_picture(server, other))
    newest, _ = (await server.get("/api/quota/ledger", user=other)).data["entries"]
    for cursor in (newest["id"], "9" * 18):
        entries = (await server.get(f"/api/quota/ledger?cursor={cursor}", user=member)).data["entries"]
        assert entries == []
    assert (await server.get("/api/quota/ledger?userId=" + other.id, user=await server.new_user())).data[
        "entries"
    ] == []


async def test_an_invalid_query_of_the_ledger_is_refused(server: LocalServer) -> None:
    user = await server.new_user()
    for query in [
        *("limit=0", "limit=101", "limit=-1", "limit=1000000000", "limit=" + "9" * 5000, "limit=1.0", "limit=1e1"),
        *("limit=+5", "limit=%205", "limit=5%0A", "limit=", "limit=ten", "limit=0x5", "limit=NaN", "limit=true"),
        *("limit=%EF%BC%95", "limit=%D9%A5", "limit=5_0", "limit[]=5&limit=", "limit=%ED%A0%80", "limit=%00"),
        *("cursor=", "cursor=x", "cursor=-1", "cursor=1.0", "cursor=" + "9" * 19, "cursor=" + "a" * 32),
        *("cursor=1%0A", "cursor=%001", "cursor=%EF%BC%91", "cursor=" + "9" * 5000),
    ]:
        assert (await server.get(f"/api/quota/ledger?{query}", user=user)).refusal == (400, 4001), query


async def test_unknown_query_parameters_are_ignored(server: LocalServer) -> None:
    member = await server.new_member()
    page = (await server.get("/api/quota/ledger?limit=5&order=asc&%00=%00&%ED%A0%80=1", user=member)).data
    assert len(page["entries"]) == 1


async def test_a_new_user_has_no_quota(server: LocalServer) -> None:
    user = await server.new_user()
    nothing = {"remaining": 0, "isMember": False, "expireAt": None}
    assert (await server.get("/api/quota", user=user)).data == nothing
