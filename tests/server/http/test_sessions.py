"""Sessions: extended by single-use refresh tokens; ended immediately and finally by logout, reuse and ban."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jwt
import pytest

from actors.auth.administration import Ban, RotateKeys, Unban
from actors.retention import Purge
from storage.auth import signing_keys
from tests.support.server import ApiResponse, LocalServer, ManualClock, running_server

PHONE = "13800138000"
REFRESH, LOGOUT, QUOTA = "/api/auth/refresh", "/api/auth/logout", "/api/quota"
DAY = 86_400
INVALID_TOKENS = ("", " ", "rt_", "rt_" + "A" * 43, "null", "é" * 43, "' OR 1=1 --", "%00", "x" * 256)
INVALID_VALUES: tuple[object, ...] = (None, 5, True, [], {}, ["rt_"], "x" * 257, "rt_\n", "\x00", "\ud800")


async def log_in(server: LocalServer, phone: str = PHONE) -> Any:
    return (await server.post("/api/auth/login", {"phone": phone, "code": await server.request_code(phone)})).data


async def refresh(server: LocalServer, token: str) -> ApiResponse:
    return await server.post(REFRESH, {"refreshToken": token})


async def is_valid(server: LocalServer, login: Any) -> bool:
    response = await server.get(QUOTA, headers=bearer(login))
    assert response.status == 200 or response.refusal == (401, 1001)
    return response.status == 200


def bearer(login: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {login['token']}"}


async def test_a_refresh_responds_like_a_login_with_new_tokens(server: LocalServer) -> None:
    first = await log_in(server)
    server.clock.advance(seconds=5)
    second = (await refresh(server, first["refreshToken"])).data
    assert second.keys() == first.keys() and second["user"] == first["user"]
    assert second["expiresIn"] == 7 * DAY
    assert second["token"] != first["token"] and second["refreshToken"] != first["refreshToken"]
    assert await is_valid(server, first) and await is_valid(server, second), (
        "an access token stays valid until it expires"
    )


async def test_each_refresh_extends_the_session(server: LocalServer) -> None:
    login = await log_in(server)
    for _ in range(4):
        server.clock.advance(days=29.9)
        assert not await is_valid(server, login)
        login = (await refresh(server, login["refreshToken"])).data
        assert await is_valid(server, login)
    server.clock.advance(days=30)
    assert (await refresh(server, login["refreshToken"])).refusal == (401, 1001)


async def test_using_a_refresh_token_twice_ends_the_session(server: LocalServer) -> None:
    """The token may have been stolen, so neither the thief nor the owner can continue."""
    first = await log_in(server)
    elsewhere = await log_in(server)
    second = (await refresh(server, first["refreshToken"])).data
    third = (await refresh(server, second["refreshToken"])).data
    assert (await refresh(server, first["refreshToken"])).refusal == (401, 1001)
    for login in (first, second, third):
        assert not await is_valid(server, login)
        assert (await refresh(server, login["refreshToken"])).refusal == (401, 1001)
    assert await is_valid(server, elsewhere), "another session of the same user continues"


async def test_concurrent_refreshes_with_one_token_end_the_session(server: LocalServer) -> None:
    login = await log_in(server)
    responses = await asyncio.gather(*(refresh(server, login["refreshToken"]) for _ in range(50)))
    successes = [response.data for response in responses if response.status == 200]
    assert len(successes) == 1 and {response.status for response in responses} == {200, 401}
    assert not await is_valid(server, successes[0])
    assert (await refresh(server, successes[0]["refreshToken"])).refusal == (401, 1001)


async def test_a_logout_ends_its_own_session_immediately_and_no_other(server: LocalServer) -> None:
    here, elsewhere = await log_in(server), await log_in(server)
    renewed = (await refresh(server, here["refreshToken"])).data
    response = await server.post(LOGOUT, headers=bearer(here))
    assert response.data is None and response.content["message"] == "已退出登录"
    for login in (here, renewed):
        assert not await is_valid(server, login)
        assert (await server.post(LOGOUT, headers=bearer(login))).refusal == (401, 1001)
        assert (await refresh(server, login["refreshToken"])).refusal == (401, 1001)
    assert await is_valid(server, elsewhere)


async def test_the_end_of_a_session_restores_none_that_ended_before(server: LocalServer) -> None:
    logins = [await log_in(server) for _ in range(3)]
    for count, login in enumerate(logins, 1):
        await server.post(LOGOUT, headers=bearer(login))
        assert [await is_valid(server, each) for each in logins] == [False] * count + [True] * (3 - count)


@pytest.mark.parametrize("how", ["logout", "reuse", "ban"])
async def test_an_ended_session_stays_ended_after_a_restart(tmp_path: Path, how: str) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        login, other = await log_in(server), await log_in(server, "13900139000")
        newest = login
        if how == "logout":
            await server.post(LOGOUT, headers=bearer(login))
        elif how == "ban":
            await server.system._auth.ask(Ban(login["user"]["id"]))
        else:
            newest = (await refresh(server, login["refreshToken"])).data
            await refresh(server, login["refreshToken"])
    clock.advance(days=6.9)
    async with running_server(tmp_path, clock) as server:
        assert not await is_valid(server, login) and not await is_valid(server, newest)
        assert await is_valid(server, other)
        await server.system._auth.ask(Purge())
        assert not await is_valid(server, login)
        assert (await refresh(server, newest["refreshToken"])).refusal == (401, 1001)


async def test_a_ban_ends_every_session_and_prevents_new_ones(server: LocalServer) -> None:
    logins = [await log_in(server) for _ in range(3)]
    other = await log_in(server, "13900139000")
    assert await server.system._auth.ask(Ban(logins[0]["user"]["id"])) == 3
    for login in logins:
        assert not await is_valid(server, login)
        assert (await refresh(server, login["refreshToken"])).refusal == (401, 1001)
    response = await server.post("/api/auth/login", {"phone": PHONE, "code": await server.request_code(PHONE)})
    assert response.refusal == (403, 1005)
    assert await server.system._db.read(lambda c: c.execute("SELECT * FROM codes").fetchall()) == [], (
        "the code is used up"
    )
    assert await is_valid(server, other)
    await server.system._auth.ask(Unban(logins[0]["user"]["id"]))
    assert not await is_valid(server, logins[0]), "an ended session stays ended"
    server.clock.advance(seconds=60)
    assert await is_valid(server, await log_in(server))


async def test_a_concurrent_login_and_ban_leave_no_session(server: LocalServer) -> None:
    user = (await log_in(server))["user"]["id"]
    code = await server.request_code(PHONE)
    response, _ = await asyncio.gather(
        server.post("/api/auth/login", {"phone": PHONE, "code": code}), server.system._auth.ask(Ban(user))
    )
    assert response.status == 403 or not await is_valid(server, response.data)


async def test_an_invalid_refresh_token_is_refused(server: LocalServer) -> None:
    login = await log_in(server)
    for wrong in (*INVALID_TOKENS, login["token"], login["refreshToken"][:-1], login["refreshToken"] + "A"):
        expected = (400, 4001) if len(wrong) > 256 else (401, 1001)
        assert (await refresh(server, wrong)).refusal == expected, wrong
    for value in INVALID_VALUES:
        assert (await server.post(REFRESH, {"refreshToken": value})).refusal == (400, 4001), value
    assert (await server.post(REFRESH, {})).refusal == (400, 4001)
    assert (await refresh(server, login["refreshToken"])).status == 200, "the refused tokens did not use it up"


async def test_tokens_from_before_a_key_rotation_stay_valid_until_they_expire(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        before = await log_in(server)
        await server.system._auth.ask(RotateKeys())
        after = await log_in(server)
        assert await is_valid(server, before) and await is_valid(server, after)
    clock.advance(days=6.9)
    async with running_server(tmp_path, clock) as server:
        await server.system._auth.ask(RotateKeys())
        assert await is_valid(server, before) and await is_valid(server, after)
    clock.advance(days=0.2)
    async with running_server(tmp_path, clock) as server:
        assert not await is_valid(server, before) and not await is_valid(server, after)
        assert await is_valid(server, (await refresh(server, after["refreshToken"])).data)


async def test_a_new_token_secret_ends_every_access_token_but_no_session(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        login = await log_in(server)
    secrets = {name: f"another {name} secret, long enough for it" for name in ("token", "code", "media", "internal")}
    async with running_server(tmp_path, clock, secrets=secrets) as server:
        assert not await is_valid(server, login)
        assert await is_valid(server, (await refresh(server, login["refreshToken"])).data)


async def test_a_clock_that_was_ahead_for_a_week_does_not_restore_an_ended_session(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        login = await log_in(server)
        await server.post(LOGOUT, headers=bearer(login))
        clock.advance(days=8)
        await server.system._auth.ask(Purge())
        clock.advance(days=-8)
        assert not await is_valid(server, login)
    clock.advance(days=8)
    async with running_server(tmp_path, clock) as server:
        clock.advance(days=-8)
        assert not await is_valid(server, login)


async def test_the_refreshes_of_a_session_are_limited(server: LocalServer) -> None:
    """Each refresh adds a row, so that without a limit one login could fill the disk."""
    login = await log_in(server)
    for _ in range(120):
        login = (await refresh(server, login["refreshToken"])).data
    refused = await refresh(server, login["refreshToken"])
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2009), "3600")
    assert await is_valid(server, login), "the session continues"
    server.clock.advance(seconds=3600)
    assert (await refresh(server, login["refreshToken"])).status == 200, (
        "and the refused refresh did not use up its token"
    )


async def test_a_signing_key_is_kept_until_its_last_token_expires(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock):
        pass
    clock.advance(days=8)
    async with running_server(tmp_path, clock) as server:
        login = await log_in(server)
        await server.system._auth.ask(RotateKeys())
    clock.advance(days=1)
    async with running_server(tmp_path, clock) as server:
        assert await is_valid(server, login), "its key was nine days old and was replaced just after the login"
    clock.advance(days=7)
    async with running_server(tmp_path, clock) as server:
        assert len(await server.system._db.read(signing_keys.load)) == 1


async def test_a_new_key_signs_even_if_the_clock_was_set_back(server: LocalServer) -> None:
    before = await log_in(server)
    server.clock.advance(days=-1)
    key = await server.system._auth.ask(RotateKeys())
    after = await log_in(server)
    assert jwt.get_unverified_header(after["token"])["kid"] == key
    assert jwt.get_unverified_header(before["token"])["kid"] != key
    assert await is_valid(server, after)


async def test_the_refresh_token_itself_is_not_stored(server: LocalServer) -> None:
    login = await log_in(server)
    await server.system._write()
    stored = b"".join(path.read_bytes() for path in server.data.glob("darkroom.sqlite3*"))
    assert login["user"]["id"].encode() in stored
    assert (
        login["refreshToken"].encode() not in stored
        and login["refreshToken"].removeprefix("rt_").encode() not in stored
    )


async def test_sessions_that_can_no_longer_be_refreshed_are_purged(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        await log_in(server)
        clock.advance(days=36.9)
        late = await log_in(server)
        await server.system._auth.ask(Purge())
        assert await server.system._db.read(count_rows) == (2, 2)
        clock.advance(days=0.2)
        await server.system._auth.ask(Purge())
        assert await server.system._db.read(count_rows) == (1, 1)
        assert await is_valid(server, late)


def count_rows(connection: Any) -> tuple[int, int]:
    return (
        connection.execute("SELECT COUNT(*) FROM sessions").fetchone()[0],
        connection.execute("SELECT COUNT(*) FROM refresh_tokens").fetchone()[0],
    )
