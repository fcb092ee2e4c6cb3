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
from server.http.admission import Admission
from server.http.app import ADMISSIONS
from storage.engine.database import Connection
from tests.support.account_state import creation, placed
from tests.support.raw_http import GUARD_SECONDS, begun, exchange, status
from tests.support.server import Edge, Person

CREATE = "/api/task/create"
HEALTH = b"GET /health HTTP/1.1\r\nHost: darkroom\r\n\r\n"
ENOUGH = 100_000  # refusals, of some 400 bytes: more than the sockets' buffers hold
LAST = b"GET /health HTTP/1.1\r\nHost: darkroom\r\nConnection: close\r\n\r\n"


def admission(edge: Edge) -> Admission:
    return edge.app[ADMISSIONS]["POST", CREATE]


def asked(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    """A creation on a connection that goes on."""
    head = [f"POST {CREATE} HTTP/{version}", "Host: darkroom", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


async def talk(edge: Edge, *requests: bytes) -> bytes:
    """All answers on one connection where each request waits for the answer before it; the last one closes it."""
    host, port = edge.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answers = b""
    try:
        async with asyncio.timeout(GUARD_SECONDS):
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
async def writer_held(edge: Edge) -> AsyncIterator[None]:
    """While nothing can be written, what was asked for stays under way."""
    held, let_go, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(held.set)
        let_go.wait()

    holding = asyncio.create_task(edge.system._db.write(hold))
    await held.wait()
    try:
        yield
    finally:
        let_go.set()
        await holding


async def until_under_way(edge: Edge, count: int) -> None:
    async with asyncio.timeout(GUARD_SECONDS):
        while admission(edge).under_way != count:  # noqa: ASYNC110  # a plain number, which tells nobody that it changed
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


async def test_one_more_than_may_be_under_way_is_refused_and_the_rest_is_carried_out(edge: Edge) -> None:
    member = await edge.member()
    body = creation(await placed(edge, member))
    admission(edge).limit = 2
    async with writer_held(edge):
        waiting = [asyncio.create_task(edge.post(CREATE, body, who=member)) for _ in range(2)]
        await until_under_way(edge, 2)
        refused = await edge.post(CREATE, body, who=member)
        assert refused.refusal == (503, 9003) and refused.headers["Retry-After"] == "1"
        assert (await edge.get("/api/task/list", who=member)).status == 200, "other calls are not refused"
    assert [(await answer).status for answer in waiting] == [200, 200]
    assert admission(edge).under_way == 0
    assert (await edge.post(CREATE, body, who=member)).status == 200, "room again"
    assert await edge.remaining(member) == 97


async def test_a_refusal_tells_what_it_would_tell_in_the_ordinary_way(edge: Edge) -> None:
    """An HTTP/1.0 client is refused in the ordinary way, by the actor that has no room: same words, same headers."""
    edge.system._quota._capacity = admission(edge).limit = 0
    wish = ("X-Request-Id: mine-1", "Accept-Language: en", "Origin: https://shop.example")
    counted = refused()
    early = await talk(edge, asked(b"{}", *wish), LAST)
    ordinary = await exchange(edge, asked(b"{}", *wish, version="1.0"))

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


async def test_answers_keep_their_order_on_a_connection(edge: Edge) -> None:
    admission(edge).limit = 0
    answers = await exchange(edge, HEALTH + asked(b"{}") + HEALTH + asked(b"{}") + LAST)
    assert statuses(answers) == [200, 401, 200, 401, 200], "behind another request it waits, in the ordinary way"
    assert statuses(await exchange(edge, asked(b"{}") * 100 + LAST)) == [401] * 100 + [200]
    assert statuses(await talk(edge, *[asked(b"{}")] * 100, HEALTH, asked(b"{}"), LAST)) == [503] * 100 + [
        200,
        503,
        200,
    ]


async def test_nothing_overtakes_a_request_that_waited_behind_another(edge: Edge) -> None:
    member = await edge.member()
    body = json.dumps(creation(await placed(edge, member))).encode()
    host, port = edge.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(GUARD_SECONDS):
        async with writer_held(edge):
            writer.write(HEALTH + asked(body, f"Authorization: Bearer {member.token}"))
            await reader.readuntil(b"}")
            admission(edge).limit = 0
            writer.write(asked(b"{}"))
            await is_answered(0)  # the server has had every chance to let it overtake
        answers = await reader.readuntil(b"}}") + await reader.readuntil(b"}}")
        assert statuses(answers) == [200, 401]
    writer.close()


async def test_a_client_that_wants_more_than_an_answer_gets_it(edge: Edge) -> None:
    """To be closed, or to go on in an older version of HTTP: in the ordinary way."""
    admission(edge).limit = 0
    assert statuses(await exchange(edge, asked(b"{}", "Connection: close"))) == [401]
    kept = await talk(edge, asked(b"{}", "Connection: keep-alive", version="1.0"), LAST)
    assert statuses(kept.replace(b"HTTP/1.0 ", b"HTTP/1.1 ")) == [401, 200]


async def test_an_upgrade_that_nobody_offers_leaves_the_connection_as_it_was(edge: Edge) -> None:
    admission(edge).limit = 0
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    assert statuses(await talk(edge, asked(b"", *upgrade), asked(b"{}"), HEALTH, LAST)) == [401, 503, 200, 200]


async def test_what_is_not_all_there_goes_the_ordinary_way_and_holds_no_place(edge: Edge) -> None:
    member = await edge.member()
    body = json.dumps(creation(await placed(edge, member))).encode()
    admission(edge).limit = 0
    host, port = edge.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(asked(b"{}")[:-1])
    await is_answered(0)
    writer.write(b"}")
    async with asyncio.timeout(GUARD_SECONDS):
        assert status(await reader.readuntil(b"}}")) == 401
    writer.close()
    admission(edge).limit = 1
    who = f"Authorization: Bearer {member.token}"
    async with begun(
        edge, asked(b"", "Expect: 100-continue", who).replace(b"Length: 0", b"Length: %d" % len(body))
    ) as (
        reader,
        writer,
    ):
        assert admission(edge).under_way == 0
        writer.write(body)
        async with asyncio.timeout(GUARD_SECONDS):
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200


async def test_a_refusal_keeps_its_connection_open_like_any_answer(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not closed as one that brought no request; and closed in the end when nothing follows."""
    lines = watched(monkeypatch)
    admission(edge).limit = 0
    host, port = edge.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(asked(b"{}"))
    async with asyncio.timeout(GUARD_SECONDS):
        assert status(await reader.readuntil(b"}}")) == 503
        lines[0]._close_if_silent(lines[0].transport)  # as when its 20 seconds are over
        writer.write(asked(b"{}"))
        assert status(await reader.readuntil(b"}}")) == 503
        lines[0]._keepalive_handle.cancel()
        lines[0]._next_keepalive_close_time = 0
        lines[0]._process_keepalive()  # as when its 75 are
        assert await reader.read() == b""
    writer.close()


async def test_whatever_becomes_of_a_request_its_place_is_free_again(edge: Edge) -> None:
    member = await edge.member()
    wrong: list[tuple[object, Person | None]] = [({}, member), ({}, None), (creation("http://elsewhere/x.png"), member)]
    for body, who in wrong:
        assert (await edge.post(CREATE, body, who=who)).status in (400, 401)
        assert admission(edge).under_way == 0
    await exchange(edge, asked(b"{}", "Connection: close"))
    await exchange(edge, asked(b"[", "Expect: else", "Connection: close"))
    await exchange(edge, asked(b"{}")[:-1], then_hang_up=True)  # it hangs up before its body has come
    assert admission(edge).under_way == 0
    body = creation(await placed(edge, member))
    async with writer_held(edge):
        host, port = edge.base.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(asked(json.dumps(body).encode(), f"Authorization: Bearer {member.token}"))
        await until_under_way(edge, 1)
        writer.close()  # it hangs up while it waits
        await until_under_way(edge, 0)


async def test_who_does_not_read_is_not_written_to_for_ever(edge: Edge) -> None:
    """Refusals that nobody fetches must not pile up in memory: once the line is full, the server stops listening."""
    host, port = edge.base.removeprefix("http://").split(":")
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


async def test_who_does_not_read_is_not_turned_away_either(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = watched(monkeypatch)
    admission(edge).limit = 0
    host, port = edge.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(GUARD_SECONDS):
        writer.write(HEALTH)
        assert status(await reader.readuntil(b"}}")) == 200
        lines[0].pause_writing()  # what its transport does when the client has not read for long
        writer.write(asked(b"{}"))
        assert status(await reader.readuntil(b"}}")) == 401, "in the ordinary way, which then waits"
        lines[0].resume_writing()
        writer.write(LAST)
        assert status(await reader.read()) == 200
    writer.close()
