"""A provider of SMS on loopback. It computes the signatures that it checks by itself."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

PHONE, CODE, MINUTES = "13800138000", "271828", 5


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it arrived. `target` is path and query, undecoded; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


Check = Callable[[ReceivedRequest], web.Response | None]
Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class FakeProvider:
    """`check` returns a refusal for a request with a wrong signature; `reply` answers all other requests."""

    check: Check
    reply: Reply
    received: list[ReceivedRequest] = field(default_factory=list)
    socket: socket.socket = field(default_factory=socket.socket)
    runner: web.AppRunner | None = None

    def __post_init__(self) -> None:
        self.socket.bind(("127.0.0.1", 0))  # the port is taken; connections are refused until `listen`

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0, access_log=None)
        await self.runner.setup()
        await web.SockSite(self.runner, self.socket).start()

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
        self.socket.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = ReceivedRequest(request.method, request.raw_path, headers, await request.read())
        self.received.append(received)
        return self.check(received) or await self.reply(request)


def respond_with(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with JSON, or with `content` itself if it is text."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)

    async def reply(_: web.Request) -> web.Response:
        plain = {
            "Content-Type": "application/json",
            **(headers or {}),
        }  # bytes, because aiohttp would add a charset to text
        return web.Response(body=text.encode(), status=status, headers=plain)

    return reply


async def respond_never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nothing sets it")


async def disconnect(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
