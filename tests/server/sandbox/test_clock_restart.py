"""The clock of the sandbox when the server stops or is killed, its file is damaged, or a client disconnects."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import aiohttp
import pytest

from server.sandbox.clock import MAX_OFFSET_SECONDS
from server.system import CannotStart
from tests.server.sandbox.moved_clock import DAY, advance, offset, order_status, wait_until_moved
from tests.server.sandbox.notifications import create_buyer
from tests.support.invariants import audit_stopped_server
from tests.support.process import http_client, server_process
from tests.support.server import Api, LocalServer, running_server


async def test_the_clock_survives_a_restart(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}) as server:
        buyer = await create_buyer(server)
        await advance(server, 60)
    async with running_server(tmp_path, tasks={"workers": 0}) as server:
        assert await offset(server) == 60
        await advance(server, 29 * 60)
        assert await order_status(server, buyer) == "closed"
        assert await offset(server) == 30 * 60
    await audit_stopped_server(tmp_path)


async def test_the_clock_is_not_set_back_by_a_kill(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data) as process:
            server = Api(process.base, http)
            member = await server.new_member()
            running = asyncio.create_task(advance(server, MAX_OFFSET_SECONDS))
            moved = await wait_until_moved(server, 31 * DAY)
            await process.end(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await running
        async with server_process(data) as process:
            server = Api(process.base, http)
            assert await offset(server) >= moved
            member = await server.log_in(member.phone)
            assert await server.ledger(member) == [("grant", 100, 100), ("expire", -100, 0)]
            assert await process.end(signal.SIGTERM) == 0
    await audit_stopped_server(data)


async def test_an_advance_ends_when_the_server_stops(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        async with running_server(tmp_path, tasks={"workers": 0}) as server:
            api = Api(server.base, http)
            running = asyncio.create_task(api.post("/sandbox/clock", {"advanceSeconds": MAX_OFFSET_SECONDS}))
            waiting = asyncio.create_task(api.post("/sandbox/clock", {"advanceSeconds": 0}))
            moved = await wait_until_moved(server)
        for answer in (await running, await waiting):
            assert answer.refusal == (503, 9003), "it was answered, and not cancelled with its connection"
    async with running_server(tmp_path, tasks={"workers": 0}) as server:
        assert moved <= await offset(server) < MAX_OFFSET_SECONDS


async def test_an_advance_continues_when_its_client_disconnects(server: LocalServer) -> None:
    async with aiohttp.ClientSession() as http:
        running = asyncio.create_task(advance(Api(server.base, http), 300 * DAY))
        assert await wait_until_moved(server) < 300 * DAY, "the client must disconnect before the end"
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert (await advance(server, 0))["offsetSeconds"] == 300 * DAY, "the second call waited for the end of the first"


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", "\ud800", '{"offsetSeconds": -1}', '{"offsetSeconds": 1.5}', '{"offsetSeconds": true}'),
        '{"offsetSeconds": 99999999999}',
    ],
)
async def test_a_server_does_not_start_with_a_damaged_clock(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sandbox" / "clock.json"
    path.parent.mkdir()
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(CannotStart, match=r"clock\.json.*restore this file, or delete it"):
        async with running_server(tmp_path):
            pass
    path.unlink()
    async with running_server(tmp_path, tasks={"workers": 0}) as server:
        assert await offset(server) == 0


async def test_production_has_no_offset(tmp_path: Path) -> None:
    async with running_server(tmp_path, tasks={"workers": 0}) as server:
        user = await server.new_user()
        await advance(server, DAY)
        assert (await server.get("/api/auth/me", user=user)).status == 200
        later = await server.new_user()
    async with running_server(tmp_path, mode="production", tasks={"workers": 0}) as server:
        assert (await server.get("/api/auth/me", user=user)).status == 200
        assert (await server.get("/api/auth/me", user=later)).status == 401, "its token is from the future"
