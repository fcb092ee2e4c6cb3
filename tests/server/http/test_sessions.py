"""Sessions: carried on by refresh tokens that are good once, ended by logout, reuse and ban, for good and at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jwt
import pytest

from actors.auth.messages import Ban, RotateKeys, Unban
from actors.retention import Forget
from storage.auth import signing_keys
from tests.support.server import Answer, Edge, MovableClock, running

PHONE = "13800138000"
REFRESH, LOGOUT, QUOTA = "/api/auth/refresh", "/api/auth/logout", "/api/quota"
DAY = 86_400
NO_TOKENS = ("", " ", "rt_", "rt_" + "A" * 43, "null", "é" * 43, "' OR 1=1 --", "%00", "x" * 256)
NO_TEXT: tuple[object, ...] = (None, 5, True, [], {}, ["rt_"], "x" * 257, "rt_\n", "\x00", "\ud800")


async def log_in(edge: Edge, phone: str = PHONE) -> Any:
    return (await edge.post("/api/auth/login", {"phone": phone, "code": await edge.code(phone)})).data


async def refresh(edge: Edge, token: str) -> Answer:
    return await edge.post(REFRESH, {"refreshToken": token})


async def works(edge: Edge, login: Any) -> bool:
    answer = await edge.get(QUOTA, headers=bearer(login))
    assert answer.status == 200 or answer.refusal == (401, 1001)
    return answer.status == 200


def bearer(login: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {login['token']}"}


async def test_a_refresh_answers_as_a_login_does(edge: Edge) -> None:
    first = await log_in(edge)
    edge.clock.advance(seconds=5)
    second = (await refresh(edge, first["refreshToken"])).data
    assert second.keys() == first.keys() and second["user"] == first["user"]
    assert second["expiresIn"] == 7 * DAY
    assert second["token"] != first["token"] and second["refreshToken"] != first["refreshToken"]
    assert await works(edge, first) and await works(edge, second), "an access token lives until its end"


async def test_a_session_goes_on_from_refresh_to_refresh(edge: Edge) -> None:
    login = await log_in(edge)
    for _ in range(4):
        edge.clock.advance(days=29.9)
        assert not await works(edge, login)
        login = (await refresh(edge, login["refreshToken"])).data
        assert await works(edge, login)
    edge.clock.advance(days=30)
    assert (await refresh(edge, login["refreshToken"])).refusal == (401, 1001)


async def test_reuse_of_a_spent_token_ends_the_session(edge: Edge) -> None:
    """Somebody has a copy: neither they nor the owner go on."""
    first = await log_in(edge)
    elsewhere = await log_in(edge)
    second = (await refresh(edge, first["refreshToken"])).data
    third = (await refresh(edge, second["refreshToken"])).data
    assert (await refresh(edge, first["refreshToken"])).refusal == (401, 1001)
    for login in (first, second, third):
        assert not await works(edge, login)
        assert (await refresh(edge, login["refreshToken"])).refusal == (401, 1001)
    assert await works(edge, elsewhere), "another session of the same person is another session"


async def test_of_many_refreshes_at_once_one_wins_and_then_nobody_does(edge: Edge) -> None:
    login = await log_in(edge)
    answers = await asyncio.gather(*(refresh(edge, login["refreshToken"]) for _ in range(50)))
    won = [answer.data for answer in answers if answer.status == 200]
    assert len(won) == 1 and {answer.status for answer in answers} == {200, 401}
    assert not await works(edge, won[0])
    assert (await refresh(edge, won[0]["refreshToken"])).refusal == (401, 1001)


async def test_logout_ends_its_session_at_once_and_no_other(edge: Edge) -> None:
    here, elsewhere = await log_in(edge), await log_in(edge)
    renewed = (await refresh(edge, here["refreshToken"])).data
    answer = await edge.post(LOGOUT, headers=bearer(here))
    assert answer.data is None and answer.content["message"] == "已退出登录"
    for login in (here, renewed):
        assert not await works(edge, login)
        assert (await edge.post(LOGOUT, headers=bearer(login))).refusal == (401, 1001)
        assert (await refresh(edge, login["refreshToken"])).refusal == (401, 1001)
    assert await works(edge, elsewhere)


@pytest.mark.parametrize("how", ["logout", "reuse", "ban"])
async def test_what_has_ended_stays_ended_over_restarts(tmp_path: Path, how: str) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock) as edge:
        login, other = await log_in(edge), await log_in(edge, "13900139000")
        newest = login
        if how == "logout":
            await edge.post(LOGOUT, headers=bearer(login))
        elif how == "ban":
            await edge.system._auth.ask(Ban(login["user"]["id"]))
        else:
            newest = (await refresh(edge, login["refreshToken"])).data
            await refresh(edge, login["refreshToken"])
    clock.advance(days=6.9)
    async with running(tmp_path, clock) as edge:
        assert not await works(edge, login) and not await works(edge, newest)
        assert await works(edge, other)
        await edge.system._auth.ask(Forget())
        assert not await works(edge, login)
        assert (await refresh(edge, newest["refreshToken"])).refusal == (401, 1001)


async def test_a_ban_ends_every_session_and_keeps_out(edge: Edge) -> None:
    logins = [await log_in(edge) for _ in range(3)]
    other = await log_in(edge, "13900139000")
    assert await edge.system._auth.ask(Ban(logins[0]["user"]["id"])) == 3
    for login in logins:
        assert not await works(edge, login)
        assert (await refresh(edge, login["refreshToken"])).refusal == (401, 1001)
    answer = await edge.post("/api/auth/login", {"phone": PHONE, "code": await edge.code(PHONE)})
    assert answer.refusal == (403, 1005)
    assert await edge.system._db.read(lambda c: c.execute("SELECT * FROM codes").fetchall()) == [], "the code is spent"
    assert await works(edge, other)
    await edge.system._auth.ask(Unban(logins[0]["user"]["id"]))
    assert not await works(edge, logins[0]), "what has ended has ended"
    edge.clock.advance(seconds=60)
    assert await works(edge, await log_in(edge))


async def test_a_login_and_a_ban_at_once_leave_no_session(edge: Edge) -> None:
    user = (await log_in(edge))["user"]["id"]
    code = await edge.code(PHONE)
    answer, _ = await asyncio.gather(
        edge.post("/api/auth/login", {"phone": PHONE, "code": code}), edge.system._auth.ask(Ban(user))
    )
    assert answer.status == 403 or not await works(edge, answer.data)


async def test_what_is_no_refresh_token_is_refused(edge: Edge) -> None:
    login = await log_in(edge)
    for wrong in (*NO_TOKENS, login["token"], login["refreshToken"][:-1], login["refreshToken"] + "A"):
        expected = (400, 4001) if len(wrong) > 256 else (401, 1001)
        assert (await refresh(edge, wrong)).refusal == expected, wrong
    for nonsense in NO_TEXT:
        assert (await edge.post(REFRESH, {"refreshToken": nonsense})).refusal == (400, 4001), nonsense
    assert (await edge.post(REFRESH, {})).refusal == (400, 4001)
    assert (await refresh(edge, login["refreshToken"])).status == 200, "none of that has spent it"


async def test_after_a_rotation_old_tokens_stay_valid_until_they_expire(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock) as edge:
        before = await log_in(edge)
        await edge.system._auth.ask(RotateKeys())
        after = await log_in(edge)
        assert await works(edge, before) and await works(edge, after)
    clock.advance(days=6.9)
    async with running(tmp_path, clock) as edge:
        await edge.system._auth.ask(RotateKeys())
        assert await works(edge, before) and await works(edge, after)
    clock.advance(days=0.2)
    async with running(tmp_path, clock) as edge:
        assert not await works(edge, before) and not await works(edge, after)
        assert await works(edge, (await refresh(edge, after["refreshToken"])).data)


async def test_another_secret_ends_every_access_token_and_no_session(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock) as edge:
        login = await log_in(edge)
    secrets = {name: f"another {name} secret, long enough for it" for name in ("token", "code", "media", "internal")}
    async with running(tmp_path, clock, secrets=secrets) as edge:
        assert not await works(edge, login)
        assert await works(edge, (await refresh(edge, login["refreshToken"])).data)


async def test_a_clock_that_was_ahead_for_a_week_revives_nobody(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock) as edge:
        login = await log_in(edge)
        await edge.post(LOGOUT, headers=bearer(login))
        clock.advance(days=8)
        await edge.system._auth.ask(Forget())
        clock.advance(days=-8)
        assert not await works(edge, login)
    clock.advance(days=8)
    async with running(tmp_path, clock) as edge:
        clock.advance(days=-8)
        assert not await works(edge, login)


async def test_a_session_is_refreshed_so_often_and_no_oftener(edge: Edge) -> None:
    """Each refresh leaves a row: one login must not be able to fill the disk."""
    login = await log_in(edge)
    for _ in range(120):
        login = (await refresh(edge, login["refreshToken"])).data
    refused = await refresh(edge, login["refreshToken"])
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2009), "3600")
    assert await works(edge, login), "it goes on"
    edge.clock.advance(seconds=3600)
    assert (await refresh(edge, login["refreshToken"])).status == 200, "and nothing was spent"


async def test_a_key_is_kept_as_long_as_a_token_of_it_may_live(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock):
        pass
    clock.advance(days=8)
    async with running(tmp_path, clock) as edge:
        login = await log_in(edge)
        await edge.system._auth.ask(RotateKeys())
    clock.advance(days=1)
    async with running(tmp_path, clock) as edge:
        assert await works(edge, login), "signed a moment before the rotation, by a key of nine days"
    clock.advance(days=7)
    async with running(tmp_path, clock) as edge:
        assert len(await edge.system._db.read(signing_keys.load)) == 1


async def test_a_new_key_signs_also_when_the_clock_was_set_back(edge: Edge) -> None:
    before = await log_in(edge)
    edge.clock.advance(days=-1)
    key = await edge.system._auth.ask(RotateKeys())
    after = await log_in(edge)
    assert jwt.get_unverified_header(after["token"])["kid"] == key
    assert jwt.get_unverified_header(before["token"])["kid"] != key
    assert await works(edge, after)


async def test_the_refresh_token_is_not_kept(edge: Edge) -> None:
    login = await log_in(edge)
    await edge.system._write()
    kept = b"".join(path.read_bytes() for path in edge.data.glob("darkroom.sqlite3*"))
    assert login["user"]["id"].encode() in kept
    assert login["refreshToken"].encode() not in kept and login["refreshToken"].removeprefix("rt_").encode() not in kept


async def test_sessions_that_nobody_can_carry_on_are_forgotten(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock) as edge:
        await log_in(edge)
        clock.advance(days=36.9)
        late = await log_in(edge)
        await edge.system._auth.ask(Forget())
        assert await edge.system._db.read(counted) == (2, 2)
        clock.advance(days=0.2)
        await edge.system._auth.ask(Forget())
        assert await edge.system._db.read(counted) == (1, 1)
        assert await works(edge, late)


def counted(connection: Any) -> tuple[int, int]:
    return (
        connection.execute("SELECT COUNT(*) FROM sessions").fetchone()[0],
        connection.execute("SELECT COUNT(*) FROM refresh_tokens").fetchone()[0],
    )
