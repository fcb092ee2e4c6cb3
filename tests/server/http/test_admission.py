"""Requests beyond what may be under way: refused before they are requests, and told all that any refusal tells."""

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
from tests.support.account_state import store_picture, task_body
from tests.support.raw_http import TIMEOUT_SECONDS, exchange, started_request, status
from tests.support.server import LocalServer, User

CREATE = "/api/task/create"
HEALTH = b"GET /health HTTP/1.1\r\nHost: darkroom\r\n\r\n"
ENOUGH = 100_000  # refusals, of some 400 bytes: more than the sockets' buffers hold
LAST = b"GET /health HTTP/1.1\r\nHost: darkroom\r\nConnection: close\r\n\r\n"


def admission(server: LocalServer) -> AdmissionControl:
    return server.app[ADMISSION_CONTROLS]["POST", CREATE]


def asked(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    """A task_body on a connection that goes on."""
    head = [f"POST {CREATE} HTTP/{version}", "Host: darkroom", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


async def talk(server: LocalServer, *requests: bytes) -> bytes:
    """All answers on one connection where each request waits for the answer before it; the last one closes it."""
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answers = b""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            for request in requests[:-1]:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                answers += head + await reader.readexactly(length)
            writer.write(requests[-1])
            return answers + await reader.read()
    finally:
        writer.close()


def statuses(answers: bytes) -> list[int]:
    return [status(b"HTTP/1.1 " + answer) for answer in answers.split(b"HTTP/1.1 ")[1:]]


@asynccontextmanager
async def writer_held(server: LocalServer) -> AsyncIterator[None]:
    """While nothing can be written, what was asked for stays under way."""
    held, let_go, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(held.set)
        let_go.wait()

    holding = asyncio.create_task(server.system._db.write(hold))
    await held.wait()
    try:
        yield
    finally:
        let_go.set()
        await holding


async def until_under_way(server: LocalServer, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while admission(server).in_flight != count:  # noqa: ASYNC110  # a plain number, which tells nobody that it changed
            await asyncio.sleep(0)


def refused(status: str = "503") -> float:
    """How many creations were refused for want of room, as /metrics counts them."""
    labels = {"method": "POST", "route": CREATE, "status": status}
    return REGISTRY.get_sample_value("darkroom_http_requests_total", labels) or 0


def answered() -> float:
    """How many creations were refused at all: for want of room, or because nobody is logged in."""
    return refused() + refused("401")


def watched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The server's side of each connection that will be made."""
    lines: list[Any] = []
    made = runner._Protocol.connection_made

    def connection_made(line: Any, transport: asyncio.BaseTransport) -> None:
        lines.append(line)
        made(line, transport)

    monkeypatch.setattr(runner._Protocol, "connection_made", connection_made)
    return lines


async def is_answered(before: float) -> bool:
    """Whether there are more answers than that when the server has had every chance to give one."""
    for _ in range(1000):
        await asyncio.sleep(0)
    return answered() != before


async def test_one_more_than_may_be_under_way_is_refused_and_the_rest_is_carried_out(server: LocalServer) -> None:
    member = await server.new_member()
    body = task_body(await store_picture(server, member))
    admission(server).limit = 2
    async with writer_held(server):
        waiting = [asyncio.create_task(server.post(CREATE, body, user=member)) for _ in range(2)]
        await until_under_way(server, 2)
        refused = await server.post(CREATE, body, user=member)
        assert refused.refusal == (503, 9003) and refused.headers["Retry-After"] == "1"
        assert (await server.get("/api/task/list", user=member)).status == 200, "other calls are not refused"
    assert [(await answer).status for answer in waiting] == [200, 200]
    assert admission(server).in_flight == 0
    assert (await server.post(CREATE, body, user=member)).status == 200, "room again"
    assert await server.remaining(member) == 97


async def test_a_refusal_tells_what_it_would_tell_in_the_ordinary_way(server: LocalServer) -> None:
    """An HTTP/1.0 client is refused in the ordinary way, by the actor that has no room: same words, same headers."""
    server.system._quota._capacity = admission(server).limit = 0
    wish = ("X-Request-Id: mine-1", "Accept-Language: en", "Origin: https://shop.example")
    counted = refused()
    early = await talk(server, asked(b"{}", *wish), LAST)
    ordinary = await exchange(server, asked(b"{}", *wish, version="1.0"))

    def told(answer: bytes) -> tuple[set[bytes], bytes]:
        head, _, rest = answer.partition(b"\r\n\r\n")
        lines = {
            line for line in head.split(b"\r\n")[1:] if not line.startswith((b"Date:", b"Server:", b"Connection:"))
        }
        return lines, rest.partition(b"HTTP/1.1 ")[0]

    assert told(early) == told(ordinary)
    lines, body = told(early)
    assert {b"Retry-After: 1", b"X-Request-Id: mine-1", b"Access-Control-Allow-Origin: *"} <= lines
    assert json.loads(body)["error"] == {
        "code": 9003,
        "message": "The server is busy; try again in 1 s",
        "requestId": "mine-1",
    }
    assert statuses(early) == [503, 200], "the connection goes on"
    assert refused() == counted + 2


async def test_answers_keep_their_order_on_a_connection(server: LocalServer) -> None:
    admission(server).limit = 0
    answers = await exchange(server, HEALTH + asked(b"{}") + HEALTH + asked(b"{}") + LAST)
    assert statuses(answers) == [200, 401, 200, 401, 200], "behind another request it waits, in the ordinary way"
    assert statuses(await exchange(server, asked(b"{}") * 100 + LAST)) == [401] * 100 + [200]
    assert statuses(await talk(server, *[asked(b"{}")] * 100, HEALTH, asked(b"{}"), LAST)) == [503] * 100 + [
        200,
        503,
        200,
    ]


async def test_nothing_overtakes_a_request_that_waited_behind_another(server: LocalServer) -> None:
    member = await server.new_member()
    body = json.dumps(task_body(await store_picture(server, member))).encode()
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with writer_held(server):
            writer.write(HEALTH + asked(body, f"Authorization: Bearer {member.token}"))
            await reader.readuntil(b"}")
            admission(server).limit = 0
            writer.write(asked(b"{}"))
            await is_answered(0)  # the server has had every chance to let it overtake
        answers = await reader.readuntil(b"}}") + await reader.readuntil(b"}}")
        assert statuses(answers) == [200, 401]
    writer.close()


async def test_a_client_that_wants_more_than_an_answer_gets_it(server: LocalServer) -> None:
    """To be closed, or to go on in an older version of HTTP: in the ordinary way."""
    admission(server).limit = 0
    assert statuses(await exchange(server, asked(b"{}", "Connection: close"))) == [401]
    kept = await talk(server, asked(b"{}", "Connection: keep-alive", version="1.0"), LAST)
    assert statuses(kept.replace(b"HTTP/1.0 ", b"HTTP/1.1 ")) == [401, 200]


async def test_an_upgrade_that_nobody_offers_leaves_the_connection_as_it_was(server: LocalServer) -> None:
    admission(server).limit = 0
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    assert statuses(await talk(server, asked(b"", *upgrade), asked(b"{}"), HEALTH, LAST)) == [401, 503, 200, 200]


async def test_what_is_not_all_there_goes_the_ordinary_way_and_holds_no_place(server: LocalServer) -> None:
    member = await server.new_member()
    body = json.dumps(task_body(await store_picture(server, member))).encode()
    admission(server).limit = 0
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(asked(b"{}")[:-1])
    await is_answered(0)
    writer.write(b"}")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert status(await reader.readuntil(b"}}")) == 401
    writer.close()
    admission(server).limit = 1
    who = f"Authorization: Bearer {member.token}"
    async with started_request(
        server, asked(b"", "Expect: 100-continue", who).replace(b"Length: 0", b"Length: %d" % len(body))
    ) as (
        reader,
        writer,
    ):
        assert admission(server).in_flight == 0
        writer.write(body)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200


async def test_a_refusal_keeps_its_connection_open_like_any_answer(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not closed as one that brought no request; and closed in the end when nothing follows."""
    lines = watched(monkeypatch)
    admission(server).limit = 0
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(asked(b"{}"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert status(await reader.readuntil(b"}}")) == 503
        lines[0]._close_without_request(lines[0].transport)  # as when its 20 seconds are over
        writer.write(asked(b"{}"))
        assert status(await reader.readuntil(b"}}")) == 503
        lines[0]._keepalive_handle.cancel()
        lines[0]._next_keepalive_close_time = 0
        lines[0]._process_keepalive()  # as when its 75 are
        assert await reader.read() == b""
    writer.close()


async def test_whatever_becomes_of_a_request_its_place_is_free_again(server: LocalServer) -> None:
    member = await server.new_member()
    wrong: list[tuple[object, User | None]] = [({}, member), ({}, None), (task_body("http://elsewhere/x.png"), member)]
    for body, user in wrong:
        assert (await server.post(CREATE, body, user=user)).status in (400, 401)
        assert admission(server).in_flight == 0
    await exchange(server, asked(b"{}", "Connection: close"))
    await exchange(server, asked(b"[", "Expect: else", "Connection: close"))
    await exchange(server, asked(b"{}")[:-1], half_close=True)  # it hangs up before its body has come
    assert admission(server).in_flight == 0
    body = task_body(await store_picture(server, member))
    async with writer_held(server):
        host, port = server.base.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(asked(json.dumps(body).encode(), f"Authorization: Bearer {member.token}"))
        await until_under_way(server, 1)
        writer.close()  # it hangs up while it waits
        await until_under_way(server, 0)


async def test_who_does_not_read_is_not_written_to_for_ever(server: LocalServer) -> None:
    """Refusals that nobody fetches must not pile up in memory: once the line is full, the server stops listening."""
    host, port = server.base.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    assert isinstance(writer.transport, asyncio.Transport)
    writer.transport.pause_reading()  # a stream reads ahead by itself
    for _ in range(ENOUGH // 1000):
        before = answered()
        writer.write(asked(b"{}") * 1000)
        while await is_answered(answered()):
            pass
        if answered() == before:
            break
    else:
        raise AssertionError(f"{ENOUGH} refusals were written to a client that reads none")
    writer.transport.abort()


async def test_who_does_not_read_is_not_turned_away_either(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = watched(monkeypatch)
    admission(server).limit = 0
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        writer.write(HEALTH)
        assert status(await reader.readuntil(b"}}")) == 200
        lines[0].pause_writing()  # what its transport does when the client has not read for long
        writer.write(asked(b"{}"))
        assert status(await reader.readuntil(b"}}")) == 401, "in the ordinary way, which then waits"
        lines[0].resume_writing()
        writer.write(LAST)
        assert status(await reader.read()) == 200
    writer.close()
