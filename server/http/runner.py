"""aiohttp's server, taught to answer in the envelope even where no request could be made of what arrived."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from actors.ids import new_id
from server.http.app import ANSWER
from server.http.errors import http_failure
from server.http.language import prefers_english
from server.http.metrics import NO_ROUTE, count_refusal, count_request
from server.http.route import failure_response

log = logging.getLogger("darkroom.http")

SHUTDOWN_SECONDS = 3  # what requests under way get to be answered; aiohttp waits for it twice at most
HEAD_SECONDS = 20  # what a new connection gets for the head of its first request
IDLE_SECONDS = 75  # what a connection gets between requests


class EnvelopeRunner(web.AppRunner):
    """Runs an application as production does.

    There is no access log, a handler goes on when its client has gone, and bodies are never unpacked.
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

        return _Server(handle, request_factory=made.request_factory, **made._kwargs)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(RequestHandler):
    """Answers what is not HTTP, or has a line or header past the limits (RFC 9112), without a traceback in the log.

    A connection that does not bring a request in time is closed: whoever holds many of them shuts others out.
    """

    __slots__ = ("_head_timer",)
    _head_timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(HEAD_SECONDS, self._close_if_silent, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self, transport: asyncio.BaseTransport) -> None:
        if not self._request_count:
            transport.close()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        log.info("refused what is not a request: %s", type(exc).__name__)
        return _refused(request, status, "Bad Request")


def _refused(request: BaseRequest, status: int, reason: str) -> web.StreamResponse:
    english = prefers_english(request.headers.get("Accept-Language", ""))
    failure = http_failure(status, reason, english)
    count_refusal(failure.code)
    count_request(request.method, NO_ROUTE, status, 0)
    response = failure_response(request, failure, new_id())
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.force_close()
    return response
