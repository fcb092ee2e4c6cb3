"""Sessions: carried on by refresh tokens that are good once, ended by logout, reuse and ban, for good and at once."""

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
NO_TOKENS = ("", " ", "rt_", "rt_" + "A" * 43, "null", "é" * 43, "' OR 1=1 --", "%00", "x" * 256)
NO_TEXT: tuple[object, ...] = (None, 5, True, [], {}, ["rt_"], "x" * 257, "rt_\n", "\x00", "\ud800")


async def log_in(server: LocalServer, phone: str = PHONE) -> Any:
    return (await server.post("/api/auth/login", {"phone": phone, "code": await server.request_code(phone)})).data


async def refresh(server: LocalServer, token: str) -> ApiResponse:
    return await server.post(REFRESH, {"refreshToken": token})


async def works(server: LocalServer, login: Any) -> bool:
    answer = await server.get(QUOTA, headers=bearer(login))
    assert answer.status == 200 or answer.refusal == (401, 1001)
    return answer.status == 200


def bearer(login: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {login['token']}"}


async def test_a_refresh_answers_as_a_login_does(server: LocalServer) -> None:
    first = await log_in(server)
    server.clock.advance(seconds=5)
    second = (await refresh(server, first["refreshToken"])).data
    assert second.keys() == first.keys() and second["user"] == first["user"]
    assert second["expiresIn"] == 7 * DAY
    assert second["token"] != first["token"] and second["refreshToken"] != first["refreshToken"]
    assert await works(server, first) and await works(server, second), "an access token lives until its end"


async def test_a_session_goes_on_from_refresh_to_refresh(server: LocalServer) -> None:
    login = await log_in(server)
    for _ in range(4):
        server.clock.advance(days=29.9)
        assert not await works(server, login)
        login = (await refresh(server, login["refreshToken"])).data
        assert await works(server, login)
    server.clock.advance(days=30)
    assert (await refresh(server, login["refreshToken"])).refusal == (401, 1001)


async def test_reuse_of_a_spent_token_ends_the_session(server: LocalServer) -> None:
    """Somebody has a copy: neither they nor the owner go on."""
    first = await log_in(server)
    elsewhere = await log_in(server)
    second = (await refresh(server, first["refreshToken"])).data
    third = (await refresh(server, second["refreshToken"])).data
    assert (await refresh(server, first["refreshToken"])).refusal == (401, 1001)
    for login in (first, second, third):
        assert not await works(server, login)
        assert (await refresh(server, login["refreshToken"])).refusal == (401, 1001)
    assert await works(server, elsewhere), "another session of the same person is another session"


async def test_of_many_refreshes_at_once_one_wins_and_then_nobody_does(server: LocalServer) -> None:
    login = await log_in(server)
    answers = await asyncio.gather(*(refresh(server, login["refreshToken"]) for _ in range(50)))
    won = [answer.data for answer in answers if answer.status == 200]
    assert len(won) == 1 and {answer.status for answer in answers} == {200, 401}
    assert not await works(server, won[0])
    assert (await refresh(server, won[0]["refreshToken"])).refusal == (401, 1001)


async def test_logout_ends_its_session_at_once_and_no_other(server: LocalServer) -> None:
    here, elsewhere = await log_in(server), await log_in(server)
    renewed = (await refresh(server, here["refreshToken"])).data
    answer = await server.post(LOGOUT, headers=bearer(here))
    assert answer.data is None and answer.content["message"] == "已退出登录"
    for login in (here, renewed):
        assert not await works(server, login)
        assert (await server.post(LOGOUT, headers=bearer(login))).refusal == (401, 1001)
        assert (await refresh(server, login["refreshToken"])).refusal == (401, 1001)
    assert await works(server, elsewhere)


@pytest.mark.parametrize("how", ["logout", "reuse", "ban"])
async def test_what_has_ended_stays_ended_over_restarts(tmp_path: Path, how: str) -> None:
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
        assert not await works(server, login) and not await works(server, newest)
        assert await works(server, other)
        await server.system._auth.ask(Purge())
        assert not await works(server, login)
        assert (await refresh(server, newest["refreshToken"])).refusal == (401, 1001)


async def test_a_ban_ends_every_session_and_keeps_out(server: LocalServer) -> None:
    logins = [await log_in(server) for _ in range(3)]
    other = await log_in(server, "13900139000")
    assert await server.system._auth.ask(Ban(logins[0]["user"]["id"])) == 3
    for login in logins:
        assert not await works(server, login)
        assert (await refresh(server, login["refreshToken"])).refusal == (401, 1001)
    answer = await server.post("/api/auth/login", {"phone": PHONE, "code": await server.request_code(PHONE)})
    assert answer.refusal == (403, 1005)
    assert await server.system._db.read(lambda c: c.execute("SELECT * FROM codes").fetchall()) == [], (
        "the code is spent"
    )
    assert await works(server, other)
    await server.system._auth.ask(Unban(logins[0]["user"]["id"]))
    assert not await works(server, logins[0]), "what has ended has ended"
    server.clock.advance(seconds=60)
    assert await works(server, await log_in(server))


async def test_a_login_and_a_ban_at_once_leave_no_session(server: LocalServer) -> None:
    user = (await log_in(server))["user"]["id"]
    code = await server.request_code(PHONE)
    answer, _ = await asyncio.gather(
        server.post("/api/auth/login", {"phone": PHONE, "code": code}), server.system._auth.ask(Ban(user))
    )
    assert answer.status == 403 or not await works(server, answer.data)


async def test_what_is_no_refresh_token_is_refused(server: LocalServer) -> None:
    login = await log_in(server)
    for wrong in (*NO_TOKENS, login["token"], login["refreshToken"][:-1], login["refreshToken"] + "A"):
        expected = (400, 4001) if len(wrong) > 256 else (401, 1001)
        assert (await refresh(server, wrong)).refusal == expected, wrong
    for nonsense in NO_TEXT:
        assert (await server.post(REFRESH, {"refreshToken": nonsense})).refusal == (400, 4001), nonsense
    assert (await server.post(REFRESH, {})).refusal == (400, 4001)
    assert (await refresh(server, login["refreshToken"])).status == 200, "none of that has spent it"


async def test_after_a_rotation_old_tokens_stay_valid_until_they_expire(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        before = await log_in(server)
        await server.system._auth.ask(RotateKeys())
        after = await log_in(server)
        assert await works(server, before) and await works(server, after)
    clock.advance(days=6.9)
    async with running_server(tmp_path, clock) as server:
        await server.system._auth.ask(RotateKeys())
        assert await works(server, before) and await works(server, after)
    clock.advance(days=0.2)
    async with running_server(tmp_path, clock) as server:
        assert not await works(server, before) and not await works(server, after)
        assert await works(server, (await refresh(server, after["refreshToken"])).data)


async def test_another_secret_ends_every_access_token_and_no_session(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        login = await log_in(server)
    secrets = {name: f"another {name} secret, long enough for it" for name in ("token", "code", "media", "internal")}
    async with running_server(tmp_path, clock, secrets=secrets) as server:
        assert not await works(server, login)
        assert await works(server, (await refresh(server, login["refreshToken"])).data)


async def test_a_clock_that_was_ahead_for_a_week_revives_nobody(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        login = await log_in(server)
        await server.post(LOGOUT, headers=bearer(login))
        clock.advance(days=8)
        await server.system._auth.ask(Purge())
        clock.advance(days=-8)
        assert not await works(server, login)
    clock.advance(days=8)
    async with running_server(tmp_path, clock) as server:
        clock.advance(days=-8)
        assert not await works(server, login)


async def test_a_session_is_refreshed_so_often_and_no_oftener(server: LocalServer) -> None:
    """Each refresh leaves a row: one login must not be able to fill the disk."""
    login = await log_in(server)
    for _ in range(120):
        login = (await refresh(server, login["refreshToken"])).data
    refused = await refresh(server, login["refreshToken"])
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2009), "3600")
    assert await works(server, login), "it goes on"
    server.clock.advance(seconds=3600)
    assert (await refresh(server, login["refreshToken"])).status == 200, "and nothing was spent"


async def test_a_key_is_kept_as_long_as_a_token_of_it_may_live(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock):
        pass
    clock.advance(days=8)
    async with running_server(tmp_path, clock) as server:
        login = await log_in(server)
        await server.system._auth.ask(RotateKeys())
    clock.advance(days=1)
    async with running_server(tmp_path, clock) as server:
        assert await works(server, login), "signed a moment before the rotation, by a key of nine days"
    clock.advance(days=7)
    async with running_server(tmp_path, clock) as server:
        assert len(await server.system._db.read(signing_keys.load)) == 1


async def test_a_new_key_signs_also_when_the_clock_was_set_back(server: LocalServer) -> None:
    before = await log_in(server)
    server.clock.advance(days=-1)
    key = await server.system._auth.ask(RotateKeys())
    after = await log_in(server)
    assert jwt.get_unverified_header(after["token"])["kid"] == key
    assert jwt.get_unverified_header(before["token"])["kid"] != key
    assert await works(server, after)


async def test_the_refresh_token_is_not_kept(server: LocalServer) -> None:
    login = await log_in(server)
    await server.system._write()
    kept = b"".join(path.read_bytes() for path in server.data.glob("darkroom.sqlite3*"))
    assert login["user"]["id"].encode() in kept
    assert login["refreshToken"].encode() not in kept and login["refreshToken"].removeprefix("rt_").encode() not in kept


async def test_sessions_that_nobody_can_carry_on_are_forgotten(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        await log_in(server)
        clock.advance(days=36.9)
        late = await log_in(server)
        await server.system._auth.ask(Purge())
        assert await server.system._db.read(counted) == (2, 2)
        clock.advance(days=0.2)
        await server.system._auth.ask(Purge())
        assert await server.system._db.read(counted) == (1, 1)
        assert await works(server, late)


def counted(connection: Any) -> tuple[int, int]:
    return (
        connection.execute("SELECT COUNT(*) FROM sessions").fetchone()[0],
        connection.execute("SELECT COUNT(*) FROM refresh_tokens").fetchone()[0],
    )
