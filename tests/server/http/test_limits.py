"""How many login codes are sent: by phone, prefix, address, and by the whole server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from actors.retention import Purge
from tests.support.server import HIGH_LIMITS, ApiResponse, LocalServer, ManualClock, running_server

PHONE = "13800138000"
WRITTEN = ("13800138000", "+8613800138000", "138 0013 8000", "+86 13800138000", " 13800138000", "+86 138 0013 8000 ")
TWENTY: Any = {**HIGH_LIMITS, "address_per_hour": 20}


async def send(server: LocalServer, phone: str, forwarded: str = "") -> ApiResponse:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return await server.post("/api/auth/send-code", {"phone": phone}, headers=headers)


async def exhaust(server: LocalServer, forwarded: str = "") -> None:
    """Twenty codes from one address, each to another phone."""
    for number in range(20):
        assert (await send(server, f"139{number:08}", forwarded)).status == 200


async def test_the_sixth_code_in_a_minute_is_refused(server: LocalServer) -> None:
    for written in WRITTEN[:5]:
        assert (await send(server, written)).status == 200
    refused = await send(server, WRITTEN[5])
    assert refused.refusal == (429, 2004)
    assert refused.headers["Retry-After"] == "60"
    assert len((await server.get(f"/sandbox/sms?phone={PHONE}")).data["messages"]) == 5
    assert (await send(server, "13900139000")).status == 200, "another phone is not concerned"


async def test_retry_after_is_the_truth(server: LocalServer) -> None:
    for _ in range(5):
        await send(server, PHONE)
        server.clock.advance(seconds=10.5)
    refused = await send(server, PHONE)
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2004), "8")
    server.clock.advance(seconds=7)
    assert (await send(server, PHONE)).refusal == (429, 2004)
    server.clock.advance(seconds=1)
    assert (await send(server, PHONE)).status == 200


async def test_requests_at_the_same_moment_cannot_pass_the_limit_together(server: LocalServer) -> None:
    answers = await asyncio.gather(*(send(server, WRITTEN[number % 6]) for number in range(30)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 25


async def test_the_twenty_first_code_of_an_address_is_refused(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=TWENTY) as server:
        await exhaust(server)
        refused = await send(server, PHONE)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2005), "3600")
        assert (await server.get(f"/sandbox/sms?phone={PHONE}")).data["messages"] == []
        server.clock.advance(seconds=3600)
        assert (await send(server, PHONE)).status == 200


async def test_both_limits_survive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY) as server:
        for _ in range(5):
            await send(server, PHONE)
    async with running_server(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY) as server:
        assert (await send(server, PHONE)).refusal == (429, 2004)
        for number in range(15):
            assert (await send(server, f"139{number:08}")).status == 200
    async with running_server(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY) as server:
        assert (await send(server, "13700137000")).refusal == (429, 2005)


async def test_a_forged_forwarding_is_not_believed(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=TWENTY) as server:
        for number in range(20):
            assert (await send(server, f"139{number:08}", f"203.0.113.{number}")).status == 200
        assert (await send(server, PHONE, "203.0.113.99")).refusal == (429, 2005)


async def test_a_trusted_proxy_is_believed_and_what_it_was_told_is_not(tmp_path: Path) -> None:
    proxied: Any = {"trusted_proxies": ["127.0.0.0/8"]}
    async with running_server(tmp_path, tasks={"workers": 0}, auth=TWENTY, server=proxied) as server:
        await exhaust(server, "203.0.113.7")
        assert (await send(server, PHONE, "203.0.113.7")).refusal == (429, 2005)
        assert (await send(server, PHONE, "198.51.100.1, 203.0.113.7")).refusal == (429, 2005), (
            "the client wrote the first"
        )
        assert (await send(server, PHONE, "203.0.113.7, 127.0.0.9")).refusal == (429, 2005), (
            "a chain of trusted proxies"
        )
        assert (await send(server, PHONE, "203.0.113.8")).status == 200


@pytest.mark.parametrize("language, words", [("", "请在 60 秒后重试"), ("en", "try again in 60 s")])
async def test_the_refusal_says_when_to_come_back(server: LocalServer, language: str, words: str) -> None:
    for _ in range(5):
        await send(server, PHONE)
    refused = await server.post("/api/auth/send-code", {"phone": PHONE}, headers={"Accept-Language": language})
    assert words in refused.content["error"]["message"]


def limits(**more: int) -> Any:
    """Limits so wide that only the one under test is met."""
    return {**HIGH_LIMITS, "phone_per_minute": 1000, "phone_per_hour": 1000, "phone_per_day": 1000, **more}


@pytest.mark.parametrize(
    "limit, window", [("phone_per_minute", 60), ("phone_per_hour", 3600), ("phone_per_day", 86_400)]
)
async def test_each_limit_of_a_phone_holds_for_its_own_window(tmp_path: Path, limit: str, window: int) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(**{limit: 3})) as server:
        for _ in range(3):
            assert (await send(server, PHONE)).status == 200
            server.clock.advance(seconds=10)
        refused = await send(server, PHONE)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2004), str(window - 30))
        assert (await send(server, "13900139000")).status == 200
        server.clock.advance(seconds=window - 30)
        assert (await send(server, PHONE)).status == 200
        assert (await send(server, PHONE)).headers["Retry-After"] == "10", "the second leaves ten seconds later"


async def test_numbers_that_begin_alike_share_a_limit(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(prefix_per_hour=3)) as server:
        for number in range(3):
            assert (await send(server, f"1380013{number:04}")).status == 200
        refused = await send(server, "13800139999")
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2006), "3600")
        assert (await send(server, "13800149999")).status == 200, "other numbers are not concerned"
        server.clock.advance(seconds=3600)
        assert (await send(server, "13800139999")).status == 200


async def test_the_days_ceiling_stops_every_code_with_an_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(codes_per_day=5)) as server:
        for number in range(5):
            assert "the daily ceiling of login codes is almost reached" not in caplog.text or number > 3
            assert (await send(server, f"139{number:08}")).status == 200
        assert caplog.text.count("the daily ceiling of login codes is almost reached") == 1
        assert await ceiling(server) == 0
        for number in range(5, 25):
            refused = await send(server, f"139{number:08}")
            assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2006), "86400")
        assert caplog.text.count("the daily ceiling of login codes is reached") == 1, "one alarm, not one a request"
        assert await ceiling(server) == 1
        server.clock.advance(days=1)
        assert await ceiling(server) == 0
        assert (await send(server, PHONE)).status == 200


async def ceiling(server: LocalServer) -> float:
    text = (await server.get("/metrics")).raw.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("darkroom_login_codes_ceiling"))


async def test_what_is_held_back_is_counted_by_limit(tmp_path: Path) -> None:
    async def held_back() -> dict[str, float]:
        text = (await server.get("/metrics")).raw.decode()
        found = re.findall(r'^darkroom_login_codes_held_back_total\{limit="(\w+)"\} (\S+)$', text, re.MULTILINE)
        return {limit: float(count) for limit, count in found}

    async with running_server(
        tmp_path, tasks={"workers": 0}, auth=limits(phone_per_hour=1, prefix_per_hour=2)
    ) as server:
        before = await held_back()
        for phone in (PHONE, PHONE, "13800138001", "13800138002", "13800138003"):
            await send(server, phone)
        after = await held_back()
    assert {limit: after[limit] - before[limit] for limit in after} == {"phone": 1, "address": 0, "prefix": 2, "all": 0}


async def test_of_several_full_limits_the_longest_wait_is_told(tmp_path: Path) -> None:
    tight = limits(phone_per_minute=1, phone_per_hour=2, address_per_hour=3, codes_per_day=4)
    async with running_server(tmp_path, tasks={"workers": 0}, auth=tight) as server:
        assert (await send(server, PHONE)).status == 200
        assert (await send(server, PHONE)).refusal == (429, 2004)
        server.clock.advance(seconds=60)
        assert (await send(server, PHONE)).status == 200
        refused = await send(server, PHONE)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2004), "3540"), (
            "the hour's, not the minute's"
        )
        assert (await send(server, "13900139000")).status == 200
        server.clock.advance(seconds=int(refused.headers["Retry-After"]))
        assert (await send(server, PHONE)).status == 200, "by then every limit has room"
        refused = await send(server, "13700137000")
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2006), str(86_400 - 3600))


async def test_a_refused_request_counts_nowhere(tmp_path: Path) -> None:
    async with running_server(
        tmp_path, tasks={"workers": 0}, auth=limits(phone_per_hour=1, address_per_hour=2)
    ) as server:
        assert (await send(server, PHONE)).status == 200
        for _ in range(10):
            assert (await send(server, PHONE)).refusal == (429, 2004)
        assert (await send(server, "13900139000")).status == 200


async def test_a_message_that_could_not_be_sent_counts_all_the_same(tmp_path: Path) -> None:
    broken: Any = {"sender": "webhook", "webhook": {"url": "http://127.0.0.1:1/", "secret": "s" * 32}}
    async with running_server(tmp_path, tasks={"workers": 0}, sms=broken) as server:
        for _ in range(5):
            assert (await send(server, PHONE)).refusal == (503, 9003)
        assert (await send(server, PHONE)).refusal == (429, 2004)


async def test_a_whole_ipv6_network_is_one_address(tmp_path: Path) -> None:
    proxied: Any = {"trusted_proxies": ["127.0.0.1"]}
    async with running_server(
        tmp_path, tasks={"workers": 0}, auth=limits(address_per_hour=3), server=proxied
    ) as server:
        for number in range(3):
            assert (await send(server, f"139{number:08}", f"2001:db8:0:7:{number}::1")).status == 200
        assert (await send(server, PHONE, "2001:db8:0:7:ffff:ffff:ffff:ffff")).refusal == (429, 2005)
        assert (await send(server, PHONE, "2001:DB8::7:0:0:0:1")).refusal == (429, 2005), "however it is written"
        assert (await send(server, PHONE, "2001:db8:0:8::1")).status == 200


async def test_a_clock_that_was_far_ahead_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(phone_per_day=2)) as server:
        server.clock.advance(days=400)
        for _ in range(2):
            assert (await send(server, PHONE)).status == 200
        server.clock.advance(days=-400)
        for _ in range(2):
            assert (await send(server, PHONE)).status == 200
        assert (await send(server, PHONE)).headers["Retry-After"] == "86400"


async def test_sends_are_forgotten_when_no_limit_asks_for_them(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(phone_per_day=2)) as server:
        await send(server, PHONE)
        server.clock.advance(seconds=86_399)
        await server.system._auth.ask(Purge())
        assert (await send(server, PHONE)).status == 200
        assert (await send(server, PHONE)).headers["Retry-After"] == "1"
        server.clock.advance(days=7)
        await server.system._auth.ask(Purge())
        server.clock.advance(days=-7)
        assert (await send(server, PHONE)).headers["Retry-After"] == "1", "a clock that was ahead has lifted nothing"
        server.clock.advance(days=9)
        await server.system._auth.ask(Purge())
        assert await server.system._db.read(lambda c: c.execute("SELECT COUNT(*) FROM sends").fetchone()) == (0,)
