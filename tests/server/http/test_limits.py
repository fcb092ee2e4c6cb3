"""How many login codes are sent, by phone and by address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.edge import Answer, Edge, MovableClock, running

PHONE = "13800138000"
WRITTEN = ("13800138000", "+8613800138000", "138 0013 8000", "+86 13800138000", " 13800138000", "+86 138 0013 8000 ")
TWENTY: Any = {"address_per_hour": 20}


async def send(edge: Edge, phone: str, forwarded: str = "") -> Answer:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return await edge.post("/api/auth/send-code", {"phone": phone}, headers=headers)


async def exhaust(edge: Edge, forwarded: str = "") -> None:
    """Twenty codes from one address, each to another phone."""
    for number in range(20):
        assert (await send(edge, f"139{number:08}", forwarded)).status == 200


async def test_the_sixth_code_in_a_minute_is_refused(edge: Edge) -> None:
    for written in WRITTEN[:5]:
        assert (await send(edge, written)).status == 200
    refused = await send(edge, WRITTEN[5])
    assert refused.refusal == (429, 2004)
    assert refused.headers["Retry-After"] == "60"
    assert len((await edge.get(f"/sandbox/sms?phone={PHONE}")).data["messages"]) == 5
    assert (await send(edge, "13900139000")).status == 200, "another phone is not concerned"


async def test_retry_after_is_the_truth(edge: Edge) -> None:
    for _ in range(5):
        await send(edge, PHONE)
        edge.clock.advance(seconds=10.5)
    refused = await send(edge, PHONE)
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2004), "8")
    edge.clock.advance(seconds=7)
    assert (await send(edge, PHONE)).refusal == (429, 2004)
    edge.clock.advance(seconds=1)
    assert (await send(edge, PHONE)).status == 200


async def test_requests_at_the_same_moment_cannot_pass_the_limit_together(edge: Edge) -> None:
    answers = await asyncio.gather(*(send(edge, WRITTEN[number % 6]) for number in range(30)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 25


async def test_the_twenty_first_code_of_an_address_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, tasks={"workers": 0}, auth=TWENTY) as edge:
        await exhaust(edge)
        refused = await send(edge, PHONE)
        assert (refused.refusal, refused.headers["Retry-After"]) == ((429, 2005), "3600")
        assert (await edge.get(f"/sandbox/sms?phone={PHONE}")).data["messages"] == []
        edge.clock.advance(seconds=3600)
        assert (await send(edge, PHONE)).status == 200


async def test_both_limits_survive_a_restart(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY) as edge:
        for _ in range(5):
            await send(edge, PHONE)
    async with running(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY) as edge:
        assert (await send(edge, PHONE)).refusal == (429, 2004)
        for number in range(15):
            assert (await send(edge, f"139{number:08}")).status == 200
    async with running(tmp_path, clock, tasks={"workers": 0}, auth=TWENTY) as edge:
        assert (await send(edge, "13700137000")).refusal == (429, 2005)


async def test_a_forged_forwarding_is_not_believed(tmp_path: Path) -> None:
    async with running(tmp_path, tasks={"workers": 0}, auth=TWENTY) as edge:
        for number in range(20):
            assert (await send(edge, f"139{number:08}", f"203.0.113.{number}")).status == 200
        assert (await send(edge, PHONE, "203.0.113.99")).refusal == (429, 2005)


async def test_a_trusted_proxy_is_believed_and_what_it_was_told_is_not(tmp_path: Path) -> None:
    proxied: Any = {"trusted_proxies": ["127.0.0.0/8"]}
    async with running(tmp_path, tasks={"workers": 0}, auth=TWENTY, server=proxied) as edge:
        await exhaust(edge, "203.0.113.7")
        assert (await send(edge, PHONE, "203.0.113.7")).refusal == (429, 2005)
        assert (await send(edge, PHONE, "198.51.100.1, 203.0.113.7")).refusal == (429, 2005), (
            "the client wrote the first"
        )
        assert (await send(edge, PHONE, "203.0.113.7, 127.0.0.9")).refusal == (429, 2005), "a chain of trusted proxies"
        assert (await send(edge, PHONE, "203.0.113.8")).status == 200


@pytest.mark.parametrize("language, words", [("", "请在 60 秒后重试"), ("en", "try again in 60 s")])
async def test_the_refusal_says_when_to_come_back(edge: Edge, language: str, words: str) -> None:
    for _ in range(5):
        await send(edge, PHONE)
    refused = await edge.post("/api/auth/send-code", {"phone": PHONE}, headers={"Accept-Language": language})
    assert words in refused.content["error"]["message"]
