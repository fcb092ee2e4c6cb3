"""A phone for which too many wrong codes were given in a row is locked for a while, over codes and restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.auth.administration import Unlock
from tests.support.server import HIGH_LIMITS, ApiResponse, LocalServer, ManualClock, running_server

PHONE = "13800138000"
SEND, LOGIN = "/api/auth/send-code", "/api/auth/login"
# Seven in a row: more than one code has tries. As many codes as are wanted.
SEVEN: Any = {**HIGH_LIMITS, "failures": 7, "phone_per_minute": 100, "phone_per_hour": 100, "phone_per_day": 100}


def other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def login(server: LocalServer, code: str, phone: str = PHONE) -> ApiResponse:
    return await server.post(LOGIN, {"phone": phone, "code": code})


async def fail(server: LocalServer, times: int, phone: str = PHONE) -> None:
    """That many wrong codes, over as few codes as there have to be."""
    for number in range(times):
        if number % 5 == 0:
            code = await server.request_code(phone)
        assert (await login(server, other(code), phone)).refusal == (400, 2001)


async def test_too_many_wrong_codes_in_a_row_lock_a_phone_for_an_hour(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN) as server:
        await fail(server, 5)
        code = await server.request_code(PHONE)
        for _ in range(2):
            assert (await login(server, other(code))).refusal == (400, 2001)
        refused = await login(server, code)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2007), "3600")
        assert (await server.post(SEND, {"phone": PHONE})).refusal == (429, 2007), "nor is a code paid for"
        assert (await server.new_user("13900139000")).token, "another phone is not concerned"
        server.clock.advance(seconds=3599)
        assert (await server.post(SEND, {"phone": PHONE})).headers["Retry-After"] == "1"
        server.clock.advance(seconds=1)
        assert (await login(server, await server.request_code(PHONE))).status == 200


async def test_the_lock_survives_a_restart_and_so_does_the_count(tmp_path: Path) -> None:
    clock = ManualClock()
    for times in (3, 3, 1):
        async with running_server(tmp_path, clock, auth=SEVEN) as server:
            await fail(server, times)
    async with running_server(tmp_path, clock, auth=SEVEN) as server:
        assert (await login(server, "000000")).refusal == (429, 2007)


async def test_a_right_code_starts_the_count_anew(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN) as server:
        for _ in range(3):
            await fail(server, 6)
            assert (await login(server, await server.request_code(PHONE))).status == 200


async def test_after_the_lock_the_count_starts_anew_and_not_before(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN) as server:
        await fail(server, 6)
        server.clock.advance(days=20)
        await fail(server, 1)
        assert (await login(server, "000000")).refusal == (429, 2007), "waiting does not make them fewer"
        server.clock.advance(seconds=3600)
        await fail(server, 6)
        assert (await login(server, await server.request_code(PHONE))).status == 200


async def test_guesses_at_the_same_moment_are_counted_too(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN) as server:
        for _ in range(2):
            code = await server.request_code(PHONE)
            answers = await asyncio.gather(*(login(server, other(code)) for _ in range(40)))
            assert {answer.status for answer in answers} <= {400, 429}
        assert (await login(server, code)).refusal == (429, 2007)


async def test_guessing_where_there_is_no_code_locks_nobody_out(tmp_path: Path) -> None:
    """Or anybody could keep anybody from logging in, without a single message."""
    async with running_server(tmp_path, auth=SEVEN) as server:
        for _ in range(50):
            assert (await login(server, "123456")).refusal == (400, 2001)
        code = await server.request_code(PHONE)
        assert (await login(server, code)).status == 200


async def test_an_operator_lifts_the_lock(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN) as server:
        await fail(server, 7)
        assert (await login(server, "000000")).refusal == (429, 2007)
        assert await server.system._auth.ask(Unlock(PHONE)) is True
        assert await server.system._auth.ask(Unlock(PHONE)) is False
        assert (await login(server, await server.request_code(PHONE))).status == 200


async def test_a_clock_that_was_far_ahead_locks_nobody_for_long(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=SEVEN) as server:
        server.clock.advance(days=400)
        await fail(server, 7)
        assert (await login(server, "000000")).refusal == (429, 2007)
        server.clock.advance(days=-400)
        assert (await login(server, await server.request_code(PHONE))).status == 200


@pytest.mark.parametrize("language, words", [("", "请在 3600 秒后重试"), ("en", "try again in 3600 s")])
async def test_the_refusal_says_when_to_come_back(tmp_path: Path, language: str, words: str) -> None:
    async with running_server(tmp_path, auth={**SEVEN, "failures": 1}) as server:
        await fail(server, 1)
        refused = await server.post(LOGIN, {"phone": PHONE, "code": "000000"}, headers={"Accept-Language": language})
        assert words in refused.content["error"]["message"]
