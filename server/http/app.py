"""The aiohttp application: every answer in the envelope, with a request id."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from actors.errors import DomainError, MissingReference
from actors.ids import new_id
from actors.tokens import Tokens
from server.http.body import JSON_BYTES
from server.http.cors import Cors
from server.http.errors import Refusal, failure_of, http_failure
from server.http.metrics import count_refusal, count_request, route_template
from server.http.route import AnyRoute, add_routes, failure_response, speaks_english

log = logging.getLogger("darkroom.http")

REQUEST_ID = web.RequestKey("request_id", str)
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(routes: Sequence[AnyRoute], tokens: Tokens, cors: Cors) -> web.Application:
    @web.middleware
    async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
        return cors.preflight(request) or await handler(request)

    app = web.Application(middlewares=[_envelope, preflight], client_max_size=JSON_BYTES)
    add_routes(app, routes, tokens)

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        if REQUEST_ID in request:  # an expectation that cannot be met is answered before the middlewares run
            response.headers["X-Request-Id"] = request[REQUEST_ID]
        response.headers["X-Content-Type-Options"] = "nosniff"
        cors.add_headers(request, response)

    app.on_response_prepare.append(add_headers)
    return app


@web.middleware
async def _envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into the failure envelope; only here does an exception get its HTTP status."""
    request[REQUEST_ID] = _request_id(request)
    began = time.monotonic()
    response = await _answer(request, handler)
    count_request(request.method, route_template(request), response.status, time.monotonic() - began)
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    english = speaks_english(request)
    try:
        return await handler(request)
    except web.HTTPException as fault:
        if fault.status < 400:
            raise
        failure = http_failure(fault.status, fault.reason, english)
        if "Allow" in fault.headers:
            failure.headers["Allow"] = fault.headers["Allow"]
    except (DomainError, MissingReference, Refusal) as fault:
        failure = failure_of(fault, english)
    except Exception as fault:
        failure = failure_of(fault, english)
        log.exception("%s %s failed, request %s", request.method, route_template(request), request[REQUEST_ID])
    count_refusal(failure.code)
    return failure_response(failure, request[REQUEST_ID])


def _request_id(request: web.Request) -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if _SANE_ID.fullmatch(given) else new_id()
