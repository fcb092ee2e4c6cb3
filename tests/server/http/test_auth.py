"""Login by phone and code: which requests are refused, and that each code is used at most once."""

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
NOT_STRINGS: tuple[object, ...] = (None, 13800138000, 1.5, True, [], ["13800138000"], {}, {"phone": "13800138000"})
INVALID_PHONES = (
    *("", " ", "1380013800", "138001380000", "12800138000", "23800138000", "03800138000", "138-0013-8000"),
    *("13800138000\n", "\n13800138000", "13800138000\r\n", "13800138000\x00", "1380013\t8000", "13800138000\u200b"),
    *("１３８００１３８０００", "١٣٨٠٠١٣٨٠٠٠", "1380013800٠", "1380013800²", "\ud800", "13800138000\udfff"),
    *("8613800138000", "+8513800138000", "+86", "++8613800138000", "+86+8613800138000", "138+8600138000"),
    *("' OR 1=1 --", "138%00138000", "1e10", "1" * 60_000),
)
INVALID_CODES = (
    *("", "12345", "1234567", "12345\n", "123456\n", "\n123456", " 123456", "12 456", "-12345", "+12345", "1e5000"),
    *("１２３４５６", "١٢٣٤٥٦", "12345²", "123456\x00", "12345\ud800", "0x1234", "%31%32", "1" * 60_000),
)


def count_rows(server: LocalServer, table: str) -> int:
    with sqlite3.connect(server.data / "darkroom.sqlite3") as connection:
        (count,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    connection.close()
    return int(count)


def other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def login(server: LocalServer, phone: str, code: str) -> tuple[int, int]:
    """Return the status and the error code; (200, 0) for a success."""
    response = await server.post(LOGIN, {"phone": phone, "code": code})
    return (200, 0) if response.status == 200 else response.refusal


async def test_an_invalid_phone_gets_no_code_and_cannot_log_in(server: LocalServer) -> None:
    for phone in (*INVALID_PHONES, *NOT_STRINGS):
        assert (await server.post(SEND, {"phone": phone})).refusal == (400, 2000), repr(phone)
        assert (await server.post(LOGIN, {"phone": phone, "code": "123456"})).refusal == (400, 2000), repr(phone)
    assert (await server.post(SEND, {})).refusal == (400, 2000)
    assert (await server.post(LOGIN, {"code": "123456"})).refusal == (400, 2000)
    assert (count_rows(server, "codes"), count_rows(server, "users"), (server.data / "sandbox" / "sms").exists()) == (
        0,
        0,
        False,
    )


async def test_a_malformed_code_is_refused_and_does_not_count_as_a_try(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    for wrong in (*INVALID_CODES, *NOT_STRINGS):
        assert (await server.post(LOGIN, {"phone": PHONE, "code": wrong})).refusal == (400, 2002), repr(wrong)
    assert (await server.post(LOGIN, {"phone": PHONE})).refusal == (400, 2002)
    assert count_rows(server, "users") == 0
    assert await login(server, PHONE, code) == (200, 0)


@pytest.mark.parametrize("written", ["+8613800138000", "+86 138 0013 8000", " 138 0013 8000 ", "13800138000"])
async def test_all_spellings_of_a_phone_are_the_same_user(server: LocalServer, written: str) -> None:
    first = await server.new_user(PHONE)
    await server.post(SEND, {"phone": written})
    code = (await server.get(f"/sandbox/sms?phone={PHONE}")).data["messages"][0]["code"]
    again = (await server.post(LOGIN, {"phone": written, "code": code})).data["user"]
    assert (again["id"], again["phone"]) == (first.id, PHONE)


async def test_a_code_can_be_used_once(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    assert await login(server, PHONE, code) == (200, 0)
    assert await login(server, PHONE, code) == (400, 2001)
    assert count_rows(server, "sessions") == 1


async def test_a_phone_that_requested_no_code_cannot_log_in(server: LocalServer) -> None:
    assert await login(server, PHONE, "000000") == (400, 2001)
    assert count_rows(server, "users") == 0


async def test_a_code_expires_after_five_minutes(server: LocalServer) -> None:
    late, in_time = await server.request_code(PHONE), await server.request_code("13900139000")
    server.clock.advance(seconds=299.999)
    assert await login(server, "13900139000", in_time) == (200, 0)
    server.clock.advance(seconds=0.001)
    assert await login(server, PHONE, late) == (400, 2001)


async def test_a_newer_code_replaces_the_older_one(server: LocalServer) -> None:
    older, newer = await server.request_code(PHONE), await server.request_code(PHONE)
    if older != newer:
        assert await login(server, PHONE, older) == (400, 2001)
    assert await login(server, PHONE, newer) == (200, 0)
    assert await login(server, PHONE, older) == (400, 2001), "not even when the newer one is used"


async def test_a_code_is_valid_only_for_its_own_phone(server: LocalServer) -> None:
    mine, theirs = await server.request_code(PHONE), await server.request_code("13900139000")
    if mine != theirs:
        assert await login(server, "13900139000", mine) == (400, 2001)
    assert await login(server, "13900139000", theirs) == (200, 0)


async def test_the_sixth_try_fails_even_with_the_right_code(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    for _ in range(5):
        assert await login(server, PHONE, other(code)) == (400, 2001)
    assert await login(server, PHONE, code) == (400, 2001)
    assert (count_rows(server, "users"), count_rows(server, "sessions")) == (0, 0)
    assert await login(server, PHONE, await server.request_code(PHONE)) == (200, 0), "a new code has new tries"


async def test_the_fifth_try_succeeds_with_the_right_code(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    for _ in range(4):
        assert await login(server, PHONE, other(code)) == (400, 2001)
    assert await login(server, PHONE, code) == (200, 0)


async def test_concurrent_wrong_codes_are_all_counted(server: LocalServer) -> None:
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


async def test_unknown_fields_of_a_login_are_ignored(server: LocalServer) -> None:
    first = await server.new_user("13900139000")
    claims = {"id": first.id, "userId": first.id, "isMember": True, "quota_remaining": 9, "role": "admin"}
    data = (await server.post(LOGIN, {"phone": PHONE, "code": await server.request_code(PHONE), **claims})).data
    assert data["user"]["id"] != first.id
    assert (data["user"]["isMember"], data["user"]["quota_remaining"]) == (False, 0)
    assert data["expiresIn"] == 7 * 86_400


async def test_a_code_request_that_is_refused_under_load_uses_up_no_limit(server: LocalServer) -> None:
    """More requests than the server sends at a time; a refused one may be repeated immediately."""
    phones = [f"139{number:08}" for number in range(200)]
    responses = await asyncio.gather(*(server.post("/api/auth/send-code", {"phone": phone}) for phone in phones))
    for phone, response in zip(phones, responses, strict=True):
        messages = (await server.get(f"/sandbox/sms?phone={phone}")).data["messages"]
        assert len(messages) == (response.status == 200)
        if response.status != 200:
            assert response.refusal == (503, 9003)
            for _ in range(5):
                assert (await server.post("/api/auth/send-code", {"phone": phone})).status == 200


class RecordingConnection(sqlite3.Connection):
    """Records the SQL of all statements, without their parameters."""

    statements: ClassVar[list[str]] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.statements.append(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        self.statements.append(sql)
        return super().executemany(sql, parameters)


async def test_known_and_unknown_phones_cannot_be_distinguished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Responses, headers and SQL statements are the same, so that not even the time can differ."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=RecordingConnection))
    async with running_server(tmp_path, auth={**HIGH_LIMITS, "failures": 3, "phone_per_hour": 2}) as server:
        for phone in ("13800138000", "13800138001"):
            await server.new_user(phone)
        banned = await server.new_user("13800138002")
        await server.system._auth.ask(Ban(banned.id))
        server.clock.advance(days=1)
        observed = [await observe_refusals(server, f"1380013800{last}") for last in (0, 1, 2, 3)]
        assert all(one == observed[3] for one in observed), "in order: known, known, banned, unknown"


async def observe_refusals(server: LocalServer, phone: str) -> list[object]:
    """Return the responses to a caller who does not know the code, with the SQL statements behind them."""
    observations: list[object] = []

    async def ask(path: str, body: dict[str, str]) -> None:
        RecordingConnection.statements.clear()
        response = await server.post(path, body, headers={"X-Request-Id": "the-same"})
        headers = {name: value for name, value in response.headers.items() if name != "Date"}
        observations.append((response.status, headers, response.raw, list(RecordingConnection.statements)))

    await ask(LOGIN, {"phone": phone, "code": "123456"})
    await ask(SEND, {"phone": phone})
    code = (await server.get(f"/sandbox/sms?phone={phone}")).data["messages"][0]["code"]
    for _ in range(4):
        await ask(LOGIN, {"phone": phone, "code": other(code)})
    await ask(SEND, {"phone": phone})
    server.clock.advance(days=1)
    return observations


async def test_of_a_hundred_concurrent_logins_with_one_code_one_succeeds(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    outcomes = await asyncio.gather(*(login(server, PHONE, code) for _ in range(100)))
    assert sorted(outcomes) == [(200, 0)] + [(400, 2001)] * 99
    assert (count_rows(server, "users"), count_rows(server, "sessions")) == (1, 1)


async def test_a_try_is_committed_before_its_code_is_compared(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = hmac.compare_digest
    counted: list[tuple[int, int]] = []

    def compare_and_look(stored_digest: bytes, digest: bytes) -> bool:
        with closing(sqlite3.connect(server.data / "darkroom.sqlite3")) as connection:
            counted.extend(connection.execute("SELECT tries, failures FROM codes JOIN login_failures USING (phone)"))
        return compare(stored_digest, digest)

    code = await server.request_code(PHONE)
    with monkeypatch.context() as patched:
        patched.setattr("actors.auth.login_codes.hmac.compare_digest", compare_and_look)
        assert await login(server, PHONE, other(code)) == (400, 2001)
        assert await login(server, PHONE, code) == (200, 0)
    assert counted == [(1, 1), (2, 2)]
    assert (count_rows(server, "codes"), count_rows(server, "login_failures")) == (0, 0)


async def test_a_code_is_stored_only_as_a_keyed_hash(server: LocalServer) -> None:
    code = await server.request_code(PHONE)
    (digest,) = await server.system._db.read(lambda c: c.execute("SELECT digest FROM codes").fetchone())
    content = f"{PHONE}:{code}".encode()
    for name in ("sha256", "sha1", "md5", "sha512", "blake2b"):
        assert hashlib.new(name, content).digest() != digest and hashlib.new(name, code.encode()).digest() != digest
    assert hmac.digest(SECRETS["code"].encode(), content, "sha256") == digest


async def test_codes_have_six_digits_and_are_evenly_distributed(server: LocalServer) -> None:
    """Of 200 codes some begin with each digit; by chance this fails once in a hundred million runs."""
    codes = [await server.request_code(f"139{number:08}") for number in range(200)]
    assert all(re.fullmatch(r"[0-9]{6}", code) for code in codes)
    assert {code[0] for code in codes} == set("0123456789")
    assert len(set(codes)) > 190
