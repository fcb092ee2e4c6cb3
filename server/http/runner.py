"""aiohttp's server, taught to answer in the envelope even where no request could be made of what arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from actors.ids import new_id
from server.http.admission import Admission, Admissions, is_simple
from server.http.app import ADMISSIONS, ANSWER, STANDING, TURN_AWAY
from server.http.errors import http_failure
from server.http.headers import request_class
from server.http.language import prefers_english
from server.http.metrics import NO_ROUTE, count_refusal, count_request
from server.http.route import failure_response

log = structlog.stdlib.get_logger("darkroom.http")

SHUTDOWN_SECONDS = 3  # what requests under way get to be answered; aiohttp waits for it twice at most
HEAD_SECONDS = 20  # what a new connection gets for the head of its first request
IDLE_SECONDS = 75  # what a connection gets between requests


class EnvelopeRunner(web.AppRunner):
    """Runs an application as production does.

    A handler goes on when its client has gone, and bodies are never unpacked. There is no access log: a line for each
    request costs a third of a bare handler's throughput. Requests are counted (metrics.py), and what goes wrong has its
    line with the request's id.
    """

    def __init__(self, app: web.Application, shutdown_seconds: float = SHUTDOWN_SECONDS) -> None:
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            handler_cancellation=False,
            keepalive_timeout=IDLE_SECONDS,
            shutdown_timeout=shutdown_seconds,
        )

    async def _make_server(self) -> web.Server:  # aiohttp has no public way to choose the protocol
        made = await super()._make_server()
        answer = self.app[ANSWER]

        async def handle(request: BaseRequest) -> web.StreamResponse:
            assert isinstance(request, web.Request)
            return await answer(request, made.request_handler)

        factory = partial(self.app._make_request, _cls=request_class(self.app[STANDING]))
        server = _Server(handle, request_factory=factory, **made._kwargs)
        server.admissions, server.turn_away = self.app[ADMISSIONS], self.app[TURN_AWAY]
        return server


class _Server(web.Server):
    admissions: Admissions
    turn_away: Callable[[RawRequestMessage], bytes]

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(RequestHandler):
    """Answers what is not HTTP, or has a line or header past the limits (RFC 9112), without a traceback in the log.

    A connection that does not bring a request in time is closed: whoever holds many of them shuts others out.
    """

    __slots__ = ("_admission", "_head_timer", "_is_busy", "_server")
    _head_timer: asyncio.TimerHandle

    def __init__(self, manager: _Server, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._server = manager
        self._admission: Admission | None = None  # where the request under way is counted
        self._is_busy = False  # with a request that was passed on to aiohttp and is not answered yet
        parser = cast(HttpRequestParser, self._parser)
        self._parser = cast(HttpRequestParser, _Sieve(parser, self._turns_away))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(HEAD_SECONDS, self._close_if_silent, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_timer.cancel()
        self._leave()
        super().connection_lost(exc)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._leave()  # it is carried out; how long the client takes to read the answer is the client's affair
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._is_busy = bool(self._messages)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._is_busy = self._is_busy or bool(self._messages)

    def _turns_away(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Whether this request was answered here and now. Answers keep their order: only if no other is under way.

        Nor is anything written to somebody who does not read: aiohttp waits until they do.
        """
        if self._is_busy or not is_simple(message, payload):
            return False
        admission = self._server.admissions.get((message.method, message.path))
        if admission is None:
            return False
        if admission.is_full and not self.writing_paused:
            assert self.transport is not None
            self.transport.write(self._server.turn_away(message))
            self._keep_open()
            return True
        admission.under_way += 1
        self._admission = admission
        return False

    def _keep_open(self) -> None:
        """What aiohttp does after an answer: the connection may wait for the next request, but not for ever."""
        self._request_count += 1
        self._next_keepalive_close_time = self._loop.time() + IDLE_SECONDS
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _leave(self) -> None:
        if self._admission is not None:
            self._admission.under_way -= 1
        self._admission = None

    def _close_if_silent(self, transport: asyncio.BaseTransport) -> None:
        if not self._request_count:
            transport.close()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = new_id()
        log.info("refused what is not a request", request_id=request_id, fault=type(exc).__name__)
        return _refused(request, status, "Bad Request", request_id)


class _Sieve:
    """A parser of requests that keeps back those which `turns_away` has answered; aiohttp does not hear of them.

    Only a request that comes by itself: what follows it in the same bytes, an upgrade among it, is aiohttp's business.
    """

    def __init__(
        self, parser: HttpRequestParser, turns_away: Callable[[RawRequestMessage, StreamReader], bool]
    ) -> None:
        self._parser, self._turns_away = parser, turns_away
        self.message_consumed = parser.message_consumed  # asked for each request, so not by __getattr__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> tuple[Sequence[tuple[RawRequestMessage, StreamReader]], bool, bytes]:
        messages, upgraded, tail = self._parser.feed_data(data)
        if len(messages) == 1 and not upgraded and self._turns_away(*messages[0]):
            self.message_consumed()
            messages = []
        return messages, upgraded, tail


def _refused(request: BaseRequest, status: int, reason: str, request_id: str) -> web.StreamResponse:
    english = prefers_english(request.headers.get("Accept-Language", ""))
    failure = http_failure(status, reason, english)
    count_refusal(failure.code)
    count_request(request.method, NO_ROUTE, status, 0)
    response = failure_response(request, failure, request_id)
    response.force_close()
    return response
