"""Login by phone and code: what is refused, and that each code lets one person in once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from actors.auth.administration import Ban
from tests.support.server import HIGH_LIMITS, SECRETS, LocalServer, ManualClock, running_server

PHONE = "13800138000"
SEND, LOGIN = "/api/auth/send-code", "/api/auth/login"
NO_TEXT: tuple[object, ...] = (None, 13800138000, 1.5, True, [], ["13800138000"], {}, {"phone": "13800138000"})
NO_PHONES = (
    *("", " ", "1380013800", "138001380000", "12800138000", "23800138000", "03800138000", "138-0013-8000"),
    *("13800138000\n", "\n13800138000", "13800138000\r\n", "13800138000\x00", "1380013\t8000", "13800138000\u200b"),
    *("１３８００１３８０００", "١٣٨٠٠١٣٨٠٠٠", "1380013800٠", "1380013800²", "\ud800", "13800138000\udfff"),
    *("8613800138000", "+8513800138000", "+86", "++8613800138000", "+86+8613800138000", "138+8600138000"),
    *("' OR 1=1 --", "138%00138000", "1e10", "1" * 60_000),
)
NO_CODES = (
    *("", "12345", "1234567", "12345\n", "123456\n", "\n123456", " 123456", "12 456", "-12345", "+12345", "1e5000"),
    *("１２３４５６", "١٢٣٤٥٦", "12345²", "123456\x00", "12345\ud800", "0x1234", "%31%32", "1" * 60_000),
)


def kept(server: LocalServer, table: str) -> int:
    with sqlite3.connect(server.data / "darkroom.sqlite3") as connection:
        (count,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    connection.close()
    return int(count)


def other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def login(server: LocalServer, phone: str, code: str) -> tuple[int, int]:
    """(200, 0) for a success."""
    answer = await server.post(LOGIN, {"phone": phone, "code": code})
    return (200, 0) if answer.status == 200 else answer.refusal


async def test_what_is_no_phone_gets_no_code_and_no_login(server: LocalServer) -> None:
    for phone in (*NO_PHONES, *NO_TEXT):
        assert (await server.post(SEND, {"phone": phone})).refusal == (400, 2000), repr(phone)
        assert (await server.post(LOGIN, {"phone": phone, "code": "123456"})).refusal == (400, 2000), repr(phone)
    assert (await server.post(SEND, {})).refusal == (400, 2000)
    assert (await server.post(LOGIN, {"code": "123456"})).refusal == (400, 2000)
    assert (kept(server, "codes"), kept(server, "users"), (server.data / "sandbox" / "sms").exists()) == (0, 0, False)


async def test_what_is_no_code_is_refused_and_takes_no_try(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    for wrong in (*NO_CODES, *NO_TEXT):
        assert (await server.post(LOGIN, {"phone": PHONE, "code": wrong})).refusal == (400, 2002), repr(wrong)
    assert (await server.post(LOGIN, {"phone": PHONE})).refusal == (400, 2002)
    assert kept(server, "users") == 0
    assert await login(server, PHONE, code) == (200, 0)


@pytest.mark.parametrize("written", ["+8613800138000", "+86 138 0013 8000", " 138 0013 8000 ", "13800138000"])
async def test_one_person_is_one_number_however_written(server: LocalServer, written: str) -> None:
    first = await server.new_user(PHONE)
    await server.post(SEND, {"phone": written})
    code = (await server.get(f"/sandbox/sms?phone={PHONE}")).data["messages"][0]["code"]
    again = (await server.post(LOGIN, {"phone": written, "code": code})).data["user"]
    assert (again["id"], again["phone"]) == (first.id, PHONE)


async def test_a_code_is_good_once(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    assert await login(server, PHONE, code) == (200, 0)
    assert await login(server, PHONE, code) == (400, 2001)
    assert kept(server, "sessions") == 1


async def test_a_phone_that_was_sent_nothing_has_no_code(server: LocalServer) -> None:
    assert await login(server, PHONE, "000000") == (400, 2001)
    assert kept(server, "users") == 0


async def test_a_code_lives_five_minutes(server: LocalServer) -> None:
    late, in_time = await server.request_code(PHONE), await server.request_code("13900139000")
    server.clock.advance(seconds=299.999)
    assert await login(server, "13900139000", in_time) == (200, 0)
    server.clock.advance(seconds=0.001)
    assert await login(server, PHONE, late) == (400, 2001)


async def test_a_newer_code_ends_the_older(server: LocalServer) -> None:
    older, newer = await server.request_code(PHONE), await server.request_code(PHONE)
    if older != newer:
        assert await login(server, PHONE, older) == (400, 2001)
    assert await login(server, PHONE, newer) == (200, 0)
    assert await login(server, PHONE, older) == (400, 2001), "not even when the newer is spent"


async def test_a_code_is_for_its_own_phone(server: LocalServer) -> None:
    mine, theirs = await server.request_code(PHONE), await server.request_code("13900139000")
    if mine != theirs:
        assert await login(server, "13900139000", mine) == (400, 2001)
    assert await login(server, "13900139000", theirs) == (200, 0)


async def test_the_sixth_guess_fails_even_if_right(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    for _ in range(5):
        assert await login(server, PHONE, other(code)) == (400, 2001)
    assert await login(server, PHONE, code) == (400, 2001)
    assert (kept(server, "users"), kept(server, "sessions")) == (0, 0)
    assert await login(server, PHONE, await server.request_code(PHONE)) == (200, 0), "a new code has new tries"


async def test_the_fifth_guess_may_be_right(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    for _ in range(4):
        assert await login(server, PHONE, other(code)) == (400, 2001)
    assert await login(server, PHONE, code) == (200, 0)


async def test_guesses_at_the_same_moment_are_counted_too(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    outcomes = await asyncio.gather(*(login(server, PHONE, other(code)) for _ in range(20)))
    assert outcomes == [(400, 2001)] * 20
    assert await login(server, PHONE, code) == (400, 2001)


async def test_tries_survive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
        code = await server.request_code(PHONE)
        for _ in range(5):
            await login(server, PHONE, other(code))
    async with running_server(tmp_path, clock, tasks={"workers": 0}) as server:
        assert await login(server, PHONE, code) == (400, 2001)


async def test_what_else_a_login_says_of_the_user_is_passed_over(server: LocalServer) -> None:
    first = await server.new_user("13900139000")
    claims = {"id": first.id, "userId": first.id, "isMember": True, "quota_remaining": 9, "role": "admin"}
    data = (await server.post(LOGIN, {"phone": PHONE, "code": await server.request_code(PHONE), **claims})).data
    assert data["user"]["id"] != first.id
    assert (data["user"]["isMember"], data["user"]["quota_remaining"]) == (False, 0)
    assert data["expiresIn"] == 7 * 86_400


async def test_a_request_refused_for_want_of_a_job_uses_nothing_up(server: LocalServer) -> None:
    """More at once than the server sends at a time: whoever is refused may ask again at once."""
    phones = [f"139{number:08}" for number in range(200)]
    answers = await asyncio.gather(*(server.post("/api/auth/send-code", {"phone": phone}) for phone in phones))
    for phone, answer in zip(phones, answers, strict=True):
        messages = (await server.get(f"/sandbox/sms?phone={phone}")).data["messages"]
        assert len(messages) == (answer.status == 200)
        if answer.status != 200:
            assert answer.refusal == (503, 9003)
            for _ in range(5):
                assert (await server.post("/api/auth/send-code", {"phone": phone})).status == 200


class Noting(sqlite3.Connection):
    """Notes the statements that are run, without what they are about."""

    statements: ClassVar[list[str]] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.statements.append(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        self.statements.append(sql)
        return super().executemany(sql, parameters)


async def test_known_and_unknown_phones_cannot_be_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers, headers included, by the very same statements: there is nothing that could take longer."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Noting))
    async with running_server(tmp_path, auth={**HIGH_LIMITS, "failures": 3, "phone_per_hour": 2}) as server:
        for phone in ("13800138000", "13800138001"):
            await server.new_user(phone)
        banned = await server.new_user("13800138002")
        await server.system._auth.ask(Ban(banned.id))
        server.clock.advance(days=1)
        sides = [await everything_refused(server, f"1380013800{last}") for last in (0, 1, 2, 3)]
        assert all(side == sides[3] for side in sides), "known, known, banned, unknown"


async def everything_refused(server: LocalServer, phone: str) -> list[object]:
    """What somebody sees, and makes the database do, who does not know the code."""
    seen: list[object] = []

    async def ask(path: str, body: dict[str, str]) -> None:
        Noting.statements.clear()
        answer = await server.post(path, body, headers={"X-Request-Id": "the-same"})
        headers = {name: value for name, value in answer.headers.items() if name != "Date"}
        seen.append((answer.status, headers, answer.raw, list(Noting.statements)))

    await ask(LOGIN, {"phone": phone, "code": "123456"})
    await ask(SEND, {"phone": phone})
    code = (await server.get(f"/sandbox/sms?phone={phone}")).data["messages"][0]["code"]
    for _ in range(4):
        await ask(LOGIN, {"phone": phone, "code": other(code)})
    await ask(SEND, {"phone": phone})
    server.clock.advance(days=1)
    return seen


async def test_of_a_hundred_right_logins_at_once_one_wins(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    outcomes = await asyncio.gather(*(login(server, PHONE, code) for _ in range(100)))
    assert sorted(outcomes) == [(200, 0)] + [(400, 2001)] * 99
    assert (kept(server, "users"), kept(server, "sessions")) == (1, 1)


async def test_a_try_is_on_disk_before_its_code_is_compared(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever compares finds it counted, on a connection of their own."""
    compare = hmac.compare_digest
    counted: list[tuple[int, int]] = []

    def look(kept_digest: bytes, digest: bytes) -> bool:
        with closing(sqlite3.connect(server.data / "darkroom.sqlite3")) as connection:
            counted.extend(connection.execute("SELECT tries, failures FROM codes JOIN login_failures USING (phone)"))
        return compare(kept_digest, digest)

    code = await server.request_code(PHONE)
    with monkeypatch.context() as patched:
        patched.setattr("actors.auth.login_codes.hmac.compare_digest", look)
        assert await login(server, PHONE, other(code)) == (400, 2001)
        assert await login(server, PHONE, code) == (200, 0)
    assert counted == [(1, 1), (2, 2)]
    assert (kept(server, "codes"), kept(server, "login_failures")) == (0, 0)


async def test_a_code_is_not_kept_and_neither_is_a_hash_that_could_be_searched(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    (digest,) = await server.system._db.read(lambda c: c.execute("SELECT digest FROM codes").fetchone())
    plain = f"{PHONE}:{code}".encode()
    for name in ("sha256", "sha1", "md5", "sha512", "blake2b"):
        assert hashlib.new(name, plain).digest() != digest and hashlib.new(name, code.encode()).digest() != digest
    assert hmac.digest(SECRETS["code"].encode(), plain, "sha256") == digest


async def test_codes_have_six_digits_and_none_is_likelier(server: LocalServer) -> None:
    """Two hundred codes: of each first digit some, which chance denies once in a hundred million runs."""
    codes = [await server.request_code(f"139{number:08}") for number in range(200)]
    assert all(re.fullmatch(r"[0-9]{6}", code) for code in codes)
    assert {code[0] for code in codes} == set("0123456789")
    assert len(set(codes)) > 190
