"""Too many consecutive wrong codes lock a phone for an hour, across codes and restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.auth.administration import Unlock
from tests.support.server import HIGH_LIMITS, ApiResponse, LocalServer, ManualClock, running_server

PHONE = "13800138000"
SEND, LOGIN = "/api/auth/send-code", "/api/auth/login"
# Seven failures are more than the tries of one code. The number of codes is not limited.
SEVEN_FAILURES: Any = {
    **HIGH_LIMITS,
    "failures": 7,
    "phone_per_minute": 100,
    "phone_per_hour": 100,
    "phone_per_day": 100,
}


def other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def login(server: LocalServer, code: str, phone: str = PHONE) -> ApiResponse:
    return await server.post(LOGIN, {"phone": phone, "code": code})


async def fail_logins(server: LocalServer, times: int, phone: str = PHONE) -> None:
    """Enter this many wrong codes. A new code is requested after every five tries."""
    for number in range(times):
        if number % 5 == 0:
            code = await server.request_code(phone)
        assert (await login(server, other(code), phone)).refusal == (400, 2001)


async def test_too_many_consecutive_wrong_codes_lock_a_phone_for_an_hour(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN_FAILURES) as server:
        await fail_logins(server, 5)
        code = await server.request_code(PHONE)
        for _ in range(2):
            assert (await login(server, other(code))).refusal == (400, 2001)
        refused = await login(server, code)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2007), "3600")
        assert (await server.post(SEND, {"phone": PHONE})).refusal == (429, 2007), "and no code is sent"
        assert (await server.new_user("13900139000")).token, "another phone is not locked"
        server.clock.advance(seconds=3599)
        assert (await server.post(SEND, {"phone": PHONE})).headers["Retry-After"] == "1"
        server.clock.advance(seconds=1)
        assert (await login(server, await server.request_code(PHONE))).status == 200


async def test_the_lock_and_the_count_survive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    for times in (3, 3, 1):
        async with running_server(tmp_path, clock, auth=SEVEN_FAILURES) as server:
            await fail_logins(server, times)
    async with running_server(tmp_path, clock, auth=SEVEN_FAILURES) as server:
        assert (await login(server, "000000")).refusal == (429, 2007)


async def test_a_right_code_resets_the_count(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN_FAILURES) as server:
        for _ in range(3):
            await fail_logins(server, 6)
            assert (await login(server, await server.request_code(PHONE))).status == 200


async def test_the_end_of_the_lock_resets_the_count_but_waiting_does_not(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN_FAILURES) as server:
        await fail_logins(server, 6)
        server.clock.advance(days=20)
        await fail_logins(server, 1)
        assert (await login(server, "000000")).refusal == (429, 2007), "waiting does not reset the count"
        server.clock.advance(seconds=3600)
        await fail_logins(server, 6)
        assert (await login(server, await server.request_code(PHONE))).status == 200


async def test_concurrent_wrong_codes_all_count_for_the_lock(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN_FAILURES) as server:
        for _ in range(2):
            code = await server.request_code(PHONE)
            responses = await asyncio.gather(*(login(server, other(code)) for _ in range(40)))
            assert {response.status for response in responses} <= {400, 429}
        assert (await login(server, code)).refusal == (429, 2007)


async def test_wrong_codes_for_a_phone_without_a_code_do_not_lock_it(tmp_path: Path) -> None:
    """Otherwise anyone could lock any phone, without a code being sent."""
    async with running_server(tmp_path, auth=SEVEN_FAILURES) as server:
        for _ in range(50):
            assert (await login(server, "123456")).refusal == (400, 2001)
        code = await server.request_code(PHONE)
        assert (await login(server, code)).status == 200


async def test_an_operator_lifts_the_lock(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN_FAILURES) as server:
        await fail_logins(server, 7)
        assert (await login(server, "000000")).refusal == (429, 2007)
        assert await server.system._auth.ask(Unlock(PHONE)) is True
        assert await server.system._auth.ask(Unlock(PHONE)) is False
        assert (await login(server, await server.request_code(PHONE))).status == 200


async def test_a_lock_from_the_future_does_not_last(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN_FAILURES) as server:
        server.clock.advance(days=400)
        await fail_logins(server, 7)
        assert (await login(server, "000000")).refusal == (429, 2007)
        server.clock.advance(days=-400)
        assert (await login(server, await server.request_code(PHONE))).status == 200


@pytest.mark.parametrize("language, text", [("", "请在 3600 秒后重试"), ("en", "try again in 3600 s")])
async def test_the_refusal_says_when_to_try_again(tmp_path: Path, language: str, text: str) -> None:
    async with running_server(tmp_path, auth={**SEVEN_FAILURES, "failures": 1}) as server:
        await fail_logins(server, 1)
        refused = await server.post(LOGIN, {"phone": PHONE, "code": "000000"}, headers={"Accept-Language": language})
        assert text in refused.content["error"]["message"]
