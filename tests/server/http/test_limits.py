"""The limits of login codes: by phone, by prefix, by network address, and for the whole server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from actors.retention import Purge
from tests.support.server import HIGH_LIMITS, ApiResponse, LocalServer, ManualClock, running_server

PHONE = "13800138000"
SPELLINGS = ("13800138000", "+8613800138000", "138 0013 8000", "+86 13800138000", " 13800138000", "+86 138 0013 8000 ")
TWENTY_PER_ADDRESS: Any = {**HIGH_LIMITS, "address_per_hour": 20}


async def send(server: LocalServer, phone: str, forwarded: str = "") -> ApiResponse:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return await server.post("/api/auth/send-code", {"phone": phone}, headers=headers)


async def use_up_address_limit(server: LocalServer, forwarded: str = "") -> None:
    """Request twenty codes from one address, each for a different phone."""
    for number in range(20):
        assert (await send(server, f"139{number:08}", forwarded)).status == 200


async def test_the_sixth_code_in_a_minute_is_refused(server: LocalServer) -> None:
    for spelling in SPELLINGS[:5]:
        assert (await send(server, spelling)).status == 200
    refused = await send(server, SPELLINGS[5])
    assert refused.refusal == (429, 2004)
    assert refused.headers["Retry-After"] == "60"
    assert len((await server.get(f"/sandbox/sms?phone={PHONE}")).data["messages"]) == 5
    assert (await send(server, "13900139000")).status == 200, "another phone has its own limit"


async def test_retry_after_says_exactly_when_the_limit_ends(server: LocalServer) -> None:
    for _ in range(5):
        await send(server, PHONE)
        server.clock.advance(seconds=10.5)
    refused = await send(server, PHONE)
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2004), "8")
    server.clock.advance(seconds=7)
    assert (await send(server, PHONE)).refusal == (429, 2004)
    server.clock.advance(seconds=1)
    assert (await send(server, PHONE)).status == 200


async def test_concurrent_requests_cannot_exceed_the_limit(server: LocalServer) -> None:
    responses = await asyncio.gather(*(send(server, SPELLINGS[number % 6]) for number in range(30)))
    assert sorted(response.status for response in responses) == [200] * 5 + [429] * 25


async def test_the_twenty_first_code_from_an_address_in_an_hour_is_refused(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=TWENTY_PER_ADDRESS) as server:
        await use_up_address_limit(server)
        refused = await send(server, PHONE)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2005), "3600")
        assert (await server.get(f"/sandbox/sms?phone={PHONE}")).data["messages"] == []
        server.clock.advance(seconds=3600)
        assert (await send(server, PHONE)).status == 200


async def test_the_limits_of_phones_and_addresses_survive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY_PER_ADDRESS) as server:
        for _ in range(5):
            await send(server, PHONE)
    async with running_server(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY_PER_ADDRESS) as server:
        assert (await send(server, PHONE)).refusal == (429, 2004)
        for number in range(15):
            assert (await send(server, f"139{number:08}")).status == 200
    async with running_server(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY_PER_ADDRESS) as server:
        assert (await send(server, "13700137000")).refusal == (429, 2005)


async def test_a_forged_x_forwarded_for_header_is_ignored(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=TWENTY_PER_ADDRESS) as server:
        for number in range(20):
            assert (await send(server, f"139{number:08}", f"203.0.113.{number}")).status == 200
        assert (await send(server, PHONE, "203.0.113.99")).refusal == (429, 2005)


async def test_only_the_address_that_a_trusted_proxy_added_counts(tmp_path: Path) -> None:
    proxied: Any = {"trusted_proxies": ["127.0.0.0/8"]}
    async with running_server(tmp_path, tasks={"workers": 0}, auth=TWENTY_PER_ADDRESS, server=proxied) as server:
        await use_up_address_limit(server, "203.0.113.7")
        assert (await send(server, PHONE, "203.0.113.7")).refusal == (429, 2005)
        assert (await send(server, PHONE, "198.51.100.1, 203.0.113.7")).refusal == (429, 2005), (
            "the client itself added the first address"
        )
        assert (await send(server, PHONE, "203.0.113.7, 127.0.0.9")).refusal == (429, 2005), (
            "a chain of trusted proxies"
        )
        assert (await send(server, PHONE, "203.0.113.8")).status == 200


@pytest.mark.parametrize("language, text", [("", "请在 60 秒后重试"), ("en", "try again in 60 s")])
async def test_the_refusal_says_when_to_try_again(server: LocalServer, language: str, text: str) -> None:
    for _ in range(5):
        await send(server, PHONE)
    refused = await server.post("/api/auth/send-code", {"phone": PHONE}, headers={"Accept-Language": language})
    assert text in refused.content["error"]["message"]


def limits(**overrides: int) -> Any:
    """Return high limits, so that only the one under test is reached."""
    return {**HIGH_LIMITS, "phone_per_minute": 1000, "phone_per_hour": 1000, "phone_per_day": 1000, **overrides}


@pytest.mark.parametrize(
    "limit, window", [("phone_per_minute", 60), ("phone_per_hour", 3600), ("phone_per_day", 86_400)]
)
async def test_each_limit_of_a_phone_has_its_own_window(tmp_path: Path, limit: str, window: int) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(**{limit: 3})) as server:
        for _ in range(3):
            assert (await send(server, PHONE)).status == 200
            server.clock.advance(seconds=10)
        refused = await send(server, PHONE)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2004), str(window - 30))
        assert (await send(server, "13900139000")).status == 200
        server.clock.advance(seconds=window - 30)
        assert (await send(server, PHONE)).status == 200
        assert (await send(server, PHONE)).headers["Retry-After"] == "10", (
            "the second code was requested ten seconds later"
        )


async def test_phones_with_the_same_prefix_share_a_limit(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(prefix_per_hour=3)) as server:
        for number in range(3):
            assert (await send(server, f"1380013{number:04}")).status == 200
        refused = await send(server, "13800139999")
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2006), "3600")
        assert (await send(server, "13800149999")).status == 200, "another prefix has its own limit"
        server.clock.advance(seconds=3600)
        assert (await send(server, "13800139999")).status == 200


async def test_the_daily_limit_stops_all_codes_and_raises_one_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(codes_per_day=5)) as server:
        for number in range(5):
            assert "the daily limit of login codes is almost reached" not in caplog.text or number > 3
            assert (await send(server, f"139{number:08}")).status == 200
        assert caplog.text.count("the daily limit of login codes is almost reached") == 1
        assert await daily_limit_reached(server) == 0
        for number in range(5, 25):
            refused = await send(server, f"139{number:08}")
            assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2006), "86400")
        assert caplog.text.count("the daily limit of login codes is reached") == 1, (
            "one alarm in all, not one for each request"
        )
        assert await daily_limit_reached(server) == 1
        server.clock.advance(days=1)
        assert await daily_limit_reached(server) == 0
        assert (await send(server, PHONE)).status == 200


async def daily_limit_reached(server: LocalServer) -> float:
    text = (await server.get("/metrics")).raw.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("darkroom_login_codes_ceiling"))


async def test_refused_code_requests_are_counted_by_limit(tmp_path: Path) -> None:
    async def refused_by_limit() -> dict[str, float]:
        text = (await server.get("/metrics")).raw.decode()
        samples = re.findall(r'^darkroom_login_codes_held_back_total\{limit="(\w+)"\} (\S+)$', text, re.MULTILINE)
        return {limit: float(count) for limit, count in samples}

    async with running_server(
        tmp_path, tasks={"workers": 0}, auth=limits(phone_per_hour=1, prefix_per_hour=2)
    ) as server:
        before = await refused_by_limit()
        for phone in (PHONE, PHONE, "13800138001", "13800138002", "13800138003"):
            await send(server, phone)
        after = await refused_by_limit()
    assert {limit: after[limit] - before[limit] for limit in after} == {"phone": 1, "address": 0, "prefix": 2, "all": 0}


async def test_retry_after_is_the_longest_wait_of_all_full_limits(tmp_path: Path) -> None:
    tight = limits(phone_per_minute=1, phone_per_hour=2, address_per_hour=3, codes_per_day=4)
    async with running_server(tmp_path, tasks={"workers": 0}, auth=tight) as server:
        assert (await send(server, PHONE)).status == 200
        assert (await send(server, PHONE)).refusal == (429, 2004)
        server.clock.advance(seconds=60)
        assert (await send(server, PHONE)).status == 200
        refused = await send(server, PHONE)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2004), "3540"), (
            "of the hourly limit, not of the minute's"
        )
        assert (await send(server, "13900139000")).status == 200
        server.clock.advance(seconds=int(refused.headers["Retry-After"]))
        assert (await send(server, PHONE)).status == 200, "no limit is full any more"
        refused = await send(server, "13700137000")
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2006), str(86_400 - 3600))


async def test_a_refused_request_counts_towards_no_limit(tmp_path: Path) -> None:
    async with running_server(
        tmp_path, tasks={"workers": 0}, auth=limits(phone_per_hour=1, address_per_hour=2)
    ) as server:
        assert (await send(server, PHONE)).status == 200
        for _ in range(10):
            assert (await send(server, PHONE)).refusal == (429, 2004)
        assert (await send(server, "13900139000")).status == 200


async def test_a_message_that_could_not_be_sent_counts_towards_the_limits(tmp_path: Path) -> None:
    broken: Any = {"sender": "webhook", "webhook": {"url": "http://127.0.0.1:1/", "secret": "s" * 32}}
    async with running_server(tmp_path, tasks={"workers": 0}, sms=broken) as server:
        for _ in range(5):
            assert (await send(server, PHONE)).refusal == (503, 9003)
        assert (await send(server, PHONE)).refusal == (429, 2004)


async def test_a_whole_ipv6_64_network_counts_as_one_address(tmp_path: Path) -> None:
    proxied: Any = {"trusted_proxies": ["127.0.0.1"]}
    async with running_server(
        tmp_path, tasks={"workers": 0}, auth=limits(address_per_hour=3), server=proxied
    ) as server:
        for number in range(3):
            assert (await send(server, f"139{number:08}", f"2001:db8:0:7:{number}::1")).status == 200
        assert (await send(server, PHONE, "2001:db8:0:7:ffff:ffff:ffff:ffff")).refusal == (429, 2005)
        assert (await send(server, PHONE, "2001:DB8::7:0:0:0:1")).refusal == (429, 2005), "in every notation"
        assert (await send(server, PHONE, "2001:db8:0:8::1")).status == 200


async def test_sends_from_the_future_do_not_count(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(phone_per_day=2)) as server:
        server.clock.advance(days=400)
        for _ in range(2):
            assert (await send(server, PHONE)).status == 200
        server.clock.advance(days=-400)
        for _ in range(2):
            assert (await send(server, PHONE)).status == 200
        assert (await send(server, PHONE)).headers["Retry-After"] == "86400"


async def test_sends_are_purged_when_no_limit_needs_them(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}, auth=limits(phone_per_day=2)) as server:
        await send(server, PHONE)
        server.clock.advance(seconds=86_399)
        await server.system._auth.ask(Purge())
        assert (await send(server, PHONE)).status == 200
        assert (await send(server, PHONE)).headers["Retry-After"] == "1"
        server.clock.advance(days=7)
        await server.system._auth.ask(Purge())
        server.clock.advance(days=-7)
        assert (await send(server, PHONE)).headers["Retry-After"] == "1", "a clock that was ahead has removed no limit"
        server.clock.advance(days=9)
        await server.system._auth.ask(Purge())
        assert await server.system._db.read(lambda c: c.execute("SELECT COUNT(*) FROM sends").fetchone()) == (0,)
