"""aiohttp's server, taught to answer in the envelope even where no request could be made of what arrived."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from actors.ids import new_id
from server.http.errors import http_failure
from server.http.language import prefers_english
from server.http.route import failure_response

log = logging.getLogger("darkroom.http")

SHUTDOWN_SECONDS = 5  # what requests under way get to be answered


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
            shutdown_timeout=shutdown_seconds,
        )

    async def _make_server(self) -> web.Server:  # aiohttp has no public way to choose the protocol
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, **made._kwargs)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(RequestHandler):
    """Answers what is not HTTP, or has a line or header past the limits (RFC 9112), without a traceback in the log."""

    __slots__ = ()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        log.info("refused what is not a request: %s", type(exc).__name__)
        failure = http_failure(status, "Bad Request", prefers_english(request.headers.get("Accept-Language", "")))
        response = failure_response(failure, new_id())
        response.force_close()
        return response
