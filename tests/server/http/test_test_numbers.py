"""Test numbers: a phone that gets no message and always has the same code, for as long as it is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.server import HIGH_LIMITS, LocalServer, ManualClock, running_server

PHONE, CODE = "13800138000", "135790"
LAST_DAY = 1_795_478_399_999  # the last millisecond of 2026-11-23, UTC; the clock of tests starts at 08:00 of that day


def with_number(**more: object) -> Any:
    return {**HIGH_LIMITS, "test_numbers": [{"phone": "+86 138 0013 8000", "code": CODE, **more}]}


async def login(server: LocalServer, code: str = CODE) -> tuple[int, int]:
    answer = await server.post("/api/auth/login", {"phone": PHONE, "code": code})
    return (200, 0) if answer.status == 200 else answer.refusal


async def send(server: LocalServer) -> int:
    return (await server.post("/api/auth/send-code", {"phone": PHONE})).status


async def messages(server: LocalServer) -> list[Any]:
    return list((await server.get(f"/sandbox/sms?phone={PHONE}")).data["messages"])


async def test_a_test_number_gets_no_message_and_logs_in_with_its_code(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=with_number()) as server:
        for _ in range(2):
            assert await send(server) == 200
            assert await login(server) == (200, 0)
        assert await messages(server) == []
        assert (await server.new_user("13900139000")).token, "any other phone is as ever"


async def test_its_code_is_like_any_other_but_for_being_known(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=with_number()) as server:
        assert await login(server) == (400, 2001), "nothing was sent"
        await send(server)
        for _ in range(5):
            assert await login(server, "000000") == (400, 2001)
        assert await login(server) == (400, 2001), "five tries"
        await send(server)
        assert await login(server) == (200, 0)
        assert await login(server) == (400, 2001), "one use"
        await send(server)
        server.clock.advance(seconds=300)
        assert await login(server) == (400, 2001), "five minutes"


async def test_its_sends_are_limited_like_any_others(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=with_number()) as server:
        assert [await send(server) for _ in range(6)] == [200] * 5 + [429]


@pytest.mark.parametrize("mode", ["development", "production"])
async def test_after_its_day_it_is_a_phone_like_any_other(tmp_path: Path, mode: str) -> None:
    clock = ManualClock(LAST_DAY)
    async with running_server(tmp_path, clock, auth=with_number(until="2026-11-23"), mode=mode) as server:
        assert await send(server) == 200
        assert await login(server) == (200, 0)
        clock.advance(seconds=0.001)
        if mode == "production":
            assert await send(server) == 503, "its message went to the sender, who is away here"
        else:
            assert await send(server) == 200
            assert (await messages(server))[0]["code"] != CODE
        assert await login(server) == (400, 2001)
