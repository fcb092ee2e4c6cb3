"""aiohttp's server, changed: malformed requests get the response envelope, and excess requests are rejected early."""

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
from server.http.admission import AdmissionControl, AdmissionControls, is_simple
from server.http.app import ADMISSION_CONTROLS, DEFAULT_HEADERS, PROCESS_REQUEST, REJECT_REQUEST, RejectRequest
from server.http.errors import http_failure
from server.http.headers import request_class
from server.http.language import prefers_english
from server.http.metrics import NO_ROUTE, count_refusal, count_request
from server.http.route import failure_response

log = structlog.stdlib.get_logger("darkroom.http")

SHUTDOWN_SECONDS = 3  # the time that requests in flight get to finish; aiohttp waits at most twice this long
HEAD_SECONDS = 20  # the time a new connection has to send its first request head
IDLE_SECONDS = 75  # the time a connection may stay idle between requests


class ProductionRunner(web.AppRunner):
    """Runs an application as production does.

    A handler continues when its client has disconnected, and compressed bodies are not decompressed. There is no
    access log, because it is expensive (docs/decisions/0016). Requests are counted instead (metrics.py), and failures
    are logged with their request id.
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
        original = await super()._make_server()
        process = self.app[PROCESS_REQUEST]

        async def handle(request: BaseRequest) -> web.StreamResponse:
            assert isinstance(request, web.Request)
            return await process(request, original.request_handler)

        factory = partial(self.app._make_request, _cls=request_class(self.app[DEFAULT_HEADERS]))
        server = _Server(handle, request_factory=factory, **original._kwargs)
        server.admission_controls, server.reject = self.app[ADMISSION_CONTROLS], self.app[REJECT_REQUEST]
        return server


class _Server(web.Server):
    admission_controls: AdmissionControls
    reject: RejectRequest

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(RequestHandler):
    """One connection.

    It answers malformed HTTP, and request lines or headers that are too long (RFC 9112), without a traceback in the
    log. It closes a connection that sends no request in time, because idle connections keep other clients out.
    """

    __slots__ = ("_admission", "_head_timer", "_is_busy", "_server")
    _head_timer: asyncio.TimerHandle

    def __init__(self, manager: _Server, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._server = manager
        self._admission: AdmissionControl | None = None  # the one that counts the request in flight
        self._is_busy = False  # whether aiohttp has a request of this connection that is not answered yet
        parser = cast(HttpRequestParser, self._parser)
        self._parser = cast(HttpRequestParser, FilteringParser(parser, self._reject_if_full))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(HEAD_SECONDS, self._close_without_request, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_timer.cancel()
        self._release_admission()
        super().connection_lost(exc)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._release_admission()  # the work is done; a client that reads slowly must not occupy capacity
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._is_busy = bool(self._messages)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._is_busy = self._is_busy or bool(self._messages)

    def _reject_if_full(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Reject the request if its endpoint is full, otherwise count it. Returns whether it was rejected.

        Responses must keep the order of requests, so nothing is rejected here while an earlier request of this
        connection is in flight. Nothing is written to a client that does not read; aiohttp waits until it does.
        """
        if self._is_busy or not is_simple(message, payload):
            return False
        admission = self._server.admission_controls.get((message.method, message.path))
        if admission is None:
            return False
        if admission.is_full and not self.writing_paused:
            assert self.transport is not None
            self.transport.write(self._server.reject(message))
            self._restart_idle_timer()
            return True
        admission.in_flight += 1
        self._admission = admission
        return False

    def _restart_idle_timer(self) -> None:
        """Do what aiohttp does after a response: the connection may wait for its next request for IDLE_SECONDS."""
        self._request_count += 1
        self._next_keepalive_close_time = self._loop.time() + IDLE_SECONDS
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _release_admission(self) -> None:
        if self._admission is not None:
            self._admission.in_flight -= 1
        self._admission = None

    def _close_without_request(self, transport: asyncio.BaseTransport) -> None:
        if not self._request_count:
            transport.close()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = new_id()
        log.info("malformed HTTP request", request_id=request_id, fault=type(exc).__name__)
        return _malformed_request_response(request, status, request_id)


class FilteringParser:
    """An HTTP request parser that drops the requests which `reject` has answered, so that aiohttp never sees them.

    It only filters a request that arrives alone. Pipelined requests and upgrades are left to aiohttp.
    """

    def __init__(self, parser: HttpRequestParser, reject: Callable[[RawRequestMessage, StreamReader], bool]) -> None:
        self._parser, self._reject = parser, reject
        self.message_consumed = parser.message_consumed  # aiohttp calls it for each request; __getattr__ is slower

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> tuple[Sequence[tuple[RawRequestMessage, StreamReader]], bool, bytes]:
        messages, upgraded, tail = self._parser.feed_data(data)
        if len(messages) == 1 and not upgraded and self._reject(*messages[0]):
            self.message_consumed()
            messages = []
        return messages, upgraded, tail


def _malformed_request_response(request: BaseRequest, status: int, request_id: str) -> web.StreamResponse:
    english = prefers_english(request.headers.get("Accept-Language", ""))
    failure = http_failure(status, "Bad Request", english)
    count_refusal(failure.code)
    count_request(request.method, NO_ROUTE, status, 0)
    response = failure_response(request, failure, request_id)
    response.force_close()
    return response
