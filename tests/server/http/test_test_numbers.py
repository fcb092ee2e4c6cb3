"""Test numbers: phones that get no message and always have the same code, until a configured day."""

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
    response = await server.post("/api/auth/login", {"phone": PHONE, "code": code})
    return (200, 0) if response.status == 200 else response.refusal


async def send(server: LocalServer) -> int:
    return (await server.post("/api/auth/send-code", {"phone": PHONE})).status


async def messages(server: LocalServer) -> list[Any]:
    return list((await server.get(f"/sandbox/sms?phone={PHONE}")).data["messages"])


async def test_a_test_number_gets_no_message_and_logs_in_with_its_fixed_code(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=with_number()) as server:
        for _ in range(2):
            assert await send(server) == 200
            assert await login(server) == (200, 0)
        assert await messages(server) == []
        assert (await server.new_user("13900139000")).token, "another phone gets an ordinary code"


async def test_the_code_of_a_test_number_has_the_limits_of_any_other_code(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=with_number()) as server:
        assert await login(server) == (400, 2001), "no code was requested"
        await send(server)
        for _ in range(5):
            assert await login(server, "000000") == (400, 2001)
        assert await login(server) == (400, 2001), "all five tries are used"
        await send(server)
        assert await login(server) == (200, 0)
        assert await login(server) == (400, 2001), "the code is used"
        await send(server)
        server.clock.advance(seconds=300)
        assert await login(server) == (400, 2001), "the code has expired"


async def test_the_code_requests_of_a_test_number_are_limited_like_any_others(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=with_number()) as server:
        assert [await send(server) for _ in range(6)] == [200] * 5 + [429]


@pytest.mark.parametrize("mode", ["development", "production"])
async def test_after_its_last_day_a_test_number_is_an_ordinary_phone(tmp_path: Path, mode: str) -> None:
    clock = ManualClock(LAST_DAY)
    async with running_server(tmp_path, clock, auth=with_number(until="2026-11-23"), mode=mode) as server:
        assert await send(server) == 200
        assert await login(server) == (200, 0)
        clock.advance(seconds=0.001)
        if mode == "production":
            assert await send(server) == 503, "the code went to the SMS sender, which is unreachable in this test"
        else:
            assert await send(server) == 200
            assert (await messages(server))[0]["code"] != CODE
        assert await login(server) == (400, 2001)
