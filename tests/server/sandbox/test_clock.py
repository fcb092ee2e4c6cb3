"""The clock of the sandbox: after it was moved, everything is as after real waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.http.times import iso
from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from server.sandbox.clock import MAX_OFFSET_SECONDS
from tests.server.sandbox.moved_clock import DAY, HOUR, Account, advance, offset, order_status, read_account
from tests.server.sandbox.notifications import create_buyer, trades
from tests.support.invariants import audit_stopped_server
from tests.support.server import SECRETS, LocalServer, running_server
from tests.support.uploads import store_picture, task_body


async def test_the_answer_says_the_time_and_the_offset(server: LocalServer) -> None:
    moved = {"now": iso(server.clock.now() + 90_000), "offsetSeconds": 90}
    assert await advance(server, 90) == moved
    assert (await server.get("/sandbox/clock")).data == moved


async def test_an_order_that_is_not_paid_is_closed_also_at_its_gateway(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    await advance(server, HOUR)
    assert await order_status(server, buyer) == "closed"
    trade = await trades(server).find(buyer.order)
    assert trade is not None and trade.state == "closed"


async def test_a_membership_ends_at_its_time_and_its_quota_lapses(server: LocalServer) -> None:
    member, bought_at = await server.new_member(), server.clock.now()
    await advance(server, 30 * DAY - 1)
    assert (await server.get("/api/quota", user=await server.log_in(member.phone))).data["isMember"] is True
    await advance(server, DAY)
    account = await read_account(server, member)
    assert account.quota == {"remaining": 0, "isMember": False, "expireAt": None}
    assert account.entries[1:] == [("expire", -100, iso(bought_at + 30 * DAY * 1000))]


async def test_an_advance_of_40_days_has_the_effect_of_40_advances_of_a_day(tmp_path: Path) -> None:
    async def live(data: Path, steps: list[int]) -> list[Account]:
        async with running_server(data, tasks={"workers": 0}, auth={"signup_quota": 3}) as server:
            users = [await server.new_member(), (await create_buyer(server)).user, await server.new_user()]
            paid = await create_buyer(server)
            await trades(server).pay(paid.order, server.clock.now())  # its notification is lost
            for step in steps:
                await advance(server, step)
            accounts = [await read_account(server, user) for user in (*users, paid.user)]
        await audit_stopped_server(data)
        return accounts

    at_once = await live(tmp_path / "at once", [40 * DAY])
    assert at_once == await live(tmp_path / "day by day", [DAY] * 40)
    assert [account.orders for account in at_once] == [["paid"], ["closed"], [], ["paid"]]
    assert [[kind for kind, *_ in account.entries] for account in at_once] == [
        *(["gift", "grant", "expire"], ["gift"], ["gift"], ["gift", "grant", "expire"]),
    ]


async def test_an_advance_of_0_seconds_does_the_work_that_is_due(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    await trades(server).pay(buyer.order, server.clock.now())
    assert (await advance(server, 0))["offsetSeconds"] == 0
    assert await order_status(server, buyer) == "paid"


async def test_advances_at_the_same_time_add_up(server: LocalServer) -> None:
    answers = await asyncio.gather(*(advance(server, days * DAY) for days in (1, 2, 3, 4)))
    assert await offset(server) == 10 * DAY == max(answer["offsetSeconds"] for answer in answers)


@pytest.mark.parametrize("seconds", ["-1", "1.0", "1.5", '"60"', "true", "null", "[]", "1e3", str(10**30)])
async def test_an_invalid_advance_does_not_move_the_clock(server: LocalServer, seconds: str) -> None:
    raw = f'{{"advanceSeconds": {seconds}}}'.encode()
    assert (await server.post("/sandbox/clock", raw=raw)).refusal == (400, 4001)
    assert (await server.post("/sandbox/clock", {})).refusal == (400, 4001)
    assert await offset(server) == 0


async def test_the_clock_cannot_be_moved_by_more_than_100_years_in_total(server: LocalServer) -> None:
    too_far = {"advanceSeconds": MAX_OFFSET_SECONDS}
    await advance(server, 1)
    answer = await server.post("/sandbox/clock", too_far, headers={"Accept-Language": "en"})
    assert answer.refusal == (400, 4001)
    assert answer.content["error"]["message"].endswith("advanceSeconds: the clock can be moved by 100 years in total")
    assert await offset(server) == 1


async def test_an_order_that_cannot_be_checked_delays_neither_the_clock_nor_other_work(server: LocalServer) -> None:
    member, bought_at, buyer = await server.new_member(), server.clock.now(), await create_buyer(server)
    (server.data / "sandbox" / "trades" / f"{buyer.order}.json").write_text("")
    await advance(server, 40 * DAY)
    assert await order_status(server, buyer) == "pending"
    assert (await read_account(server, member)).entries[1:] == [("expire", -100, iso(bought_at + 30 * DAY * 1000))]


async def test_a_clock_that_cannot_be_stored_does_not_move(server: LocalServer) -> None:
    (server.data / "sandbox" / "clock.new").mkdir(parents=True)
    assert (await server.post("/sandbox/clock", {"advanceSeconds": 60})).refusal == (503, 9003)
    assert await offset(server) == 0


# --- what depends on the clock ---


async def test_an_access_token_expires(server: LocalServer) -> None:
    user = await server.new_user()
    await advance(server, 7 * DAY - 1)
    assert (await server.get("/api/auth/me", user=user)).status == 200
    await advance(server, 1)
    assert (await server.get("/api/auth/me", user=user)).refusal == (401, 1001)


async def test_a_login_code_expires(server: LocalServer) -> None:
    code = await server.request_code("13800138000")
    await advance(server, 5 * 60)
    answer = await server.post("/api/auth/login", {"phone": "13800138000", "code": code})
    assert answer.refusal == (400, 2001)


async def test_a_signed_upload_url_expires(server: LocalServer) -> None:
    target = (await server.get("/api/media/sts?fileName=a.png", user=await server.new_user())).data
    await advance(server, 30 * 60)
    answer = await server.call("PUT", target["uploadUrl"], raw=b"x", headers=target["headers"])
    assert answer.refusal == (403, 4003)


async def test_the_refusal_of_an_idempotency_key_is_forgotten_after_a_day(server: LocalServer) -> None:
    user = await server.new_user()
    body = task_body(await store_picture(server, user))

    async def create() -> int:
        return (await server.post("/api/task/create", body, user=user, headers={"Idempotency-Key": "k"})).status

    assert await create() == 403
    await advance(server, DAY - HOUR)
    order = (await server.post("/api/membership/purchase", {"channel": "wx"}, user=user)).data["orderId"]
    assert (await server.post("/sandbox/pay", {"orderId": order})).status == 200
    assert await create() == 403
    await advance(server, 2 * HOUR)
    assert await create() == 200


@pytest.mark.parametrize("moved, status", [(0, 404), (10 * DAY, 404), (5 * DAY, 403)])
async def test_an_external_worker_may_sign_with_the_time_of_its_machine_or_of_the_sandbox(
    server: LocalServer, moved: int, status: int
) -> None:
    await advance(server, 10 * DAY)
    path, raw = f"/api/task/{'0' * 32}/status", b'{"status": "processing"}'
    timestamp = str(server.clock.now() // 1000 + moved)
    headers = {TIMESTAMP: timestamp, SIGNATURE: sign(SECRETS["internal"].encode(), timestamp, "PUT", path, raw)}
    assert (await server.put(path, raw=raw, headers=headers)).status == status
