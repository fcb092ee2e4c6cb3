"""Admission control: requests beyond the limit are rejected early, with the same response as an ordinary rejection."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from server.http import runner
from server.http.admission import AdmissionControl
from server.http.app import ADMISSION_CONTROLS
from storage.engine.connection import Connection
from tests.support.raw_http import TIMEOUT_SECONDS, exchange, started_request, status
from tests.support.server import ApiUser, LocalServer
from tests.support.uploads import store_picture, task_body

CREATE = "/api/task/create"
HEALTH = b"GET /health HTTP/1.1\r\nHost: darkroom\r\n\r\n"
MANY_REJECTIONS = 100_000  # of some 400 bytes each: more than the buffers of the sockets hold
LAST = b"GET /health HTTP/1.1\r\nHost: darkroom\r\nConnection: close\r\n\r\n"


def admission(server: LocalServer) -> AdmissionControl:
    return server.app[ADMISSION_CONTROLS]["POST", CREATE]


def creation(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    """A request to create a task, on a persistent connection."""
    head = [f"POST {CREATE} HTTP/{version}", "Host: darkroom", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


async def send_one_by_one(server: LocalServer, *requests: bytes) -> bytes:
    """Send each request after the response to the one before; the last one closes the connection. Returns all bytes."""
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    responses = b""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            for request in requests[:-1]:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                responses += head + await reader.readexactly(length)
            writer.write(requests[-1])
            return responses + await reader.read()
    finally:
        writer.close()


def statuses(responses: bytes) -> list[int]:
    return [status(b"HTTP/1.1 " + response) for response in responses.split(b"HTTP/1.1 ")[1:]]


@asynccontextmanager
async def blocked_writer(server: LocalServer) -> AsyncIterator[None]:
    """Block the database's writer, so that creations stay in flight."""
    started, release, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait()

    holding = asyncio.create_task(server.system._db.write(hold))
    await started.wait()
    try:
        yield
    finally:
        release.set()
        await holding


async def wait_until_in_flight(server: LocalServer, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while admission(server).in_flight != count:  # noqa: ASYNC110  # a plain number has no event
            await asyncio.sleep(0)


def count_rejected(status: str = "503") -> float:
    """Return how many creations were rejected, as /metrics counts them."""
    labels = {"method": "POST", "route": CREATE, "status": status}
    return REGISTRY.get_sample_value("darkroom_http_requests_total", labels) or 0


def count_failed() -> float:
    """Return how many creations were refused because of the capacity or a missing token."""
    return count_rejected() + count_rejected("401")


def record_connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the server's protocol object of each new connection."""
    connections: list[Any] = []
    original = runner._Protocol.connection_made

    def connection_made(connection: Any, transport: asyncio.BaseTransport) -> None:
        connections.append(connection)
        original(connection, transport)

    monkeypatch.setattr(runner._Protocol, "connection_made", connection_made)
    return connections


async def has_answered(before: float) -> bool:
    """Whether the server has refused more creations than `before`, after it had every chance to do so."""
    for _ in range(1000):
        await asyncio.sleep(0)
    return count_failed() != before


async def test_the_request_beyond_the_limit_is_rejected_and_those_in_flight_complete(server: LocalServer) -> None:
    member = await server.new_member()
    body = task_body(await store_picture(server, member))
    admission(server).limit = 2
    async with blocked_writer(server):
        waiting = [asyncio.create_task(server.post(CREATE, body, user=member)) for _ in range(2)]
        await wait_until_in_flight(server, 2)
        refused = await server.post(CREATE, body, user=member)
        assert refused.refusal == (503, 9003) and refused.headers["Retry-After"] == "1"
        assert (await server.get("/api/task/list", user=member)).status == 200, "other calls are not refused"
    assert [(await response).status for response in waiting] == [200, 200]
    assert admission(server).in_flight == 0
    assert (await server.post(CREATE, body, user=member)).status == 200, "there is capacity again"
    assert await server.remaining(member) == 97


async def test_an_early_rejection_equals_an_ordinary_one(server: LocalServer) -> None:
    """An HTTP/1.0 request is rejected in the ordinary way, by the actor. Its text and headers are the same."""
    server.system._quota._capacity = admission(server).limit = 0
    headers_sent = ("X-Request-Id: mine-1", "Accept-Language: en", "Origin: https://shop.example")
    counted = count_rejected()
    early = await send_one_by_one(server, creation(b"{}", *headers_sent), LAST)
    ordinary = await exchange(server, creation(b"{}", *headers_sent, version="1.0"))

    def comparable(response: bytes) -> tuple[set[bytes], bytes]:
        head, _, rest = response.partition(b"\r\n\r\n")
        lines = {
            line for line in head.split(b"\r\n")[1:] if not line.startswith((b"Date:", b"Server:", b"Connection:"))
        }
        return lines, rest.partition(b"HTTP/1.1 ")[0]

    assert comparable(early) == comparable(ordinary)
    lines, body = comparable(early)
    assert {b"Retry-After: 1", b"X-Request-Id: mine-1", b"Access-Control-Allow-Origin: *"} <= lines
    assert json.loads(body)["error"] == {
        "code": 9003,
        "message": "The server is busy; try again in 1 s",
        "requestId": "mine-1",
    }
    assert statuses(early) == [503, 200], "the connection stays open"
    assert count_rejected() == counted + 2


async def test_responses_keep_the_order_of_requests_on_a_connection(server: LocalServer) -> None:
    admission(server).limit = 0
    responses = await exchange(server, HEALTH + creation(b"{}") + HEALTH + creation(b"{}") + LAST)
    assert statuses(responses) == [200, 401, 200, 401, 200], "a pipelined request is handled in the ordinary way"
    assert statuses(await exchange(server, creation(b"{}") * 100 + LAST)) == [401] * 100 + [200]
    assert statuses(await send_one_by_one(server, *[creation(b"{}")] * 100, HEALTH, creation(b"{}"), LAST)) == [
        503
    ] * 100 + [
        200,
        503,
        200,
    ]


async def test_a_rejection_does_not_overtake_a_pipelined_request(server: LocalServer) -> None:
    member = await server.new_member()
    body = json.dumps(task_body(await store_picture(server, member))).encode()
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with blocked_writer(server):
            writer.write(HEALTH + creation(body, f"Authorization: Bearer {member.token}"))
            await reader.readuntil(b"}")
            admission(server).limit = 0
            writer.write(creation(b"{}"))
            await has_answered(0)  # the server has had every chance to reject it too early
        responses = await reader.readuntil(b"}}") + await reader.readuntil(b"}}")
        assert statuses(responses) == [200, 401]
    writer.close()


async def test_a_request_that_closes_the_connection_or_uses_http_1_0_is_not_rejected_early(server: LocalServer) -> None:
    admission(server).limit = 0
    assert statuses(await exchange(server, creation(b"{}", "Connection: close"))) == [401]
    responses = await send_one_by_one(server, creation(b"{}", "Connection: keep-alive", version="1.0"), LAST)
    assert statuses(responses.replace(b"HTTP/1.0 ", b"HTTP/1.1 ")) == [401, 200]


async def test_an_unsupported_upgrade_leaves_the_connection_usable(server: LocalServer) -> None:
    admission(server).limit = 0
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    assert statuses(await send_one_by_one(server, creation(b"", *upgrade), creation(b"{}"), HEALTH, LAST)) == [
        401,
        503,
        200,
        200,
    ]


async def test_an_incomplete_request_is_neither_rejected_early_nor_counted_as_in_flight(server: LocalServer) -> None:
    member = await server.new_member()
    body = json.dumps(task_body(await store_picture(server, member))).encode()
    admission(server).limit = 0
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(creation(b"{}")[:-1])
    await has_answered(0)
    writer.write(b"}")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert status(await reader.readuntil(b"}}")) == 401
    writer.close()
    admission(server).limit = 1
    authorization = f"Authorization: Bearer {member.token}"
    async with started_request(
        server, creation(b"", "Expect: 100-continue", authorization).replace(b"Length: 0", b"Length: %d" % len(body))
    ) as (
        reader,
        writer,
    ):
        assert admission(server).in_flight == 0
        writer.write(body)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200


async def test_a_connection_stays_open_after_a_rejection_until_it_is_idle_too_long(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = record_connections(monkeypatch)
    admission(server).limit = 0
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(creation(b"{}"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert status(await reader.readuntil(b"}}")) == 503
        connections[0]._close_without_request(connections[0].transport)  # as after HEAD_SECONDS
        writer.write(creation(b"{}"))
        assert status(await reader.readuntil(b"}}")) == 503
        connections[0]._keepalive_handle.cancel()
        connections[0]._next_keepalive_close_time = 0
        connections[0]._process_keepalive()  # as after IDLE_SECONDS
        assert await reader.read() == b""
    writer.close()


async def test_a_request_releases_its_capacity_however_it_ends(server: LocalServer) -> None:
    member = await server.new_member()
    wrong: list[tuple[object, ApiUser | None]] = [
        ({}, member),
        ({}, None),
        (task_body("http://elsewhere/x.png"), member),
    ]
    for body, user in wrong:
        assert (await server.post(CREATE, body, user=user)).status in (400, 401)
        assert admission(server).in_flight == 0
    await exchange(server, creation(b"{}", "Connection: close"))
    await exchange(server, creation(b"[", "Expect: else", "Connection: close"))
    await exchange(server, creation(b"{}")[:-1], half_close=True)  # the client disconnects before its body is complete
    assert admission(server).in_flight == 0
    body = task_body(await store_picture(server, member))
    async with blocked_writer(server):
        host, port = server.base.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(creation(json.dumps(body).encode(), f"Authorization: Bearer {member.token}"))
        await wait_until_in_flight(server, 1)
        writer.close()  # the client disconnects while it waits
        await wait_until_in_flight(server, 0)


async def test_rejections_to_a_client_that_does_not_read_are_bounded(server: LocalServer) -> None:
    """Rejections must not pile up in memory: once the socket's buffer is full, the server stops reading."""
    host, port = server.base.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    assert isinstance(writer.transport, asyncio.Transport)
    writer.transport.pause_reading()  # otherwise the stream reads ahead
    for _ in range(MANY_REJECTIONS // 1000):
        before = count_failed()
        writer.write(creation(b"{}") * 1000)
        while await has_answered(count_failed()):
            pass
        if count_failed() == before:
            break
    else:
        raise AssertionError(f"{MANY_REJECTIONS} refusals were written to a client that does not read")
    writer.transport.abort()


async def test_a_client_that_does_not_read_is_not_rejected_early(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = record_connections(monkeypatch)
    admission(server).limit = 0
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        writer.write(HEALTH)
        assert status(await reader.readuntil(b"}}")) == 200
        connections[0].pause_writing()  # its transport does this when the client does not read
        writer.write(creation(b"{}"))
        assert status(await reader.readuntil(b"}}")) == 401, (
            "it is handled in the ordinary way, which waits for the client"
        )
        connections[0].resume_writing()
        writer.write(LAST)
        assert status(await reader.read()) == 200
    writer.close()
