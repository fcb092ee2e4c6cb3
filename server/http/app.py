"""The aiohttp application: every answer in the envelope, with a request id."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict
from pydantic_core import to_json

from actors.auth.tokens import Tokens
from actors.errors import DomainError, MissingReference, Overloaded
from server.http.admission import Admission, Admissions
from server.http.body import JSON_BYTES
from server.http.cors import Cors
from server.http.errors import RequestRefused, failure_of, http_failure
from server.http.headers import DefaultHeaders
from server.http.json_response import in_one_piece
from server.http.language import prefers_english
from server.http.metrics import count_refusal, count_request, route_template
from server.http.route import AdminCheck, AnyRoute, add_routes, failure_content, failure_response, wants_english
from server.logs.form import REQUEST_ID

log = structlog.stdlib.get_logger("darkroom.http")

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_START, _numbers = secrets.token_hex(8), itertools.count(1)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

ANSWER: web.AppKey[Answer] = web.AppKey("answer")
"""Goes around the whole application, where a middleware would stand: aiohttp takes 5 us more for each of those."""


TURN_AWAY: web.AppKey[Callable[[RawRequestMessage], bytes]] = web.AppKey("turn away")
"""The whole answer to a request that is refused before it is one."""

ADMISSIONS: web.AppKey[Admissions] = web.AppKey("admissions")

STANDING: web.AppKey[DefaultHeaders] = web.AppKey("standing headers")


def build_app(
    routes: Sequence[AnyRoute], tokens: Tokens, check_admin: AdminCheck, cors: Cors, *, https: bool = False
) -> web.Application:
    """`https` is whether browsers reach the server by it alone."""
    standing = DefaultHeaders(https=https)

    def dress(asked: Mapping[str, str], answered: CIMultiDict[str], request_id: str) -> None:
        answered["X-Request-Id"] = request_id
        cors.add_headers(asked, answered)

    def turn_away(message: RawRequestMessage) -> bytes:
        request_id, english = _request_id(message.headers), prefers_english(message.headers.get("Accept-Language", ""))
        failure = failure_of(Overloaded(retry_after=1), english)
        headers = CIMultiDict(failure.headers)
        dress(message.headers, headers, request_id)
        count_refusal(failure.code)
        count_request(message.method, message.path, failure.status, 0)
        return in_one_piece(failure.status, standing, headers, to_json(failure_content(failure, request_id)))

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, request_id = time.monotonic(), _request_id(request.headers)
        REQUEST_ID.set(request_id)
        # aiohttp looks for a route by trying one after the other (7 us), and sees to what a request may expect.
        # A request that takes this short way has no match_info.
        path = request.rel_url.raw_path
        endpoint = fixed.get((request.method, path)) if hdrs.EXPECT not in request.headers else None
        template = None if endpoint is None else path  # any other path has its template from aiohttp
        response = cors.preflight(request) or await _enveloped(request, endpoint or handler, request_id, template)
        if not response.prepared:
            dress(request.headers, response.headers, request_id)
        count_request(request.method, template or route_template(request), response.status, time.monotonic() - began)
        return response

    app = web.Application(client_max_size=JSON_BYTES)
    app[ANSWER], app[TURN_AWAY], app[STANDING] = answer, turn_away, standing
    limits = {(route.method, route.path): route.under_way for route in routes}
    app[ADMISSIONS] = {call: Admission(limit) for call, limit in limits.items() if limit is not None}
    fixed = add_routes(app, routes, tokens, check_admin)
    return app


async def _enveloped(
    request: web.Request, handler: Handler, request_id: str, template: str | None
) -> web.StreamResponse:
    """Turn whatever goes wrong into the failure envelope; only here does an exception get its HTTP status."""
    try:
        return await handler(request)
    except web.HTTPException as fault:
        if fault.status < 400:
            raise
        failure = http_failure(fault.status, fault.reason, wants_english(request))
        if "Allow" in fault.headers:
            failure.headers["Allow"] = fault.headers["Allow"]
    except (DomainError, MissingReference, RequestRefused) as fault:
        failure = failure_of(fault, wants_english(request))
    except Exception as fault:
        failure = failure_of(fault, wants_english(request))
        log.exception("a request failed", method=request.method, route=template or route_template(request))
    count_refusal(failure.code)
    return failure_response(request, failure, request_id)


def _request_id(asked: Mapping[str, str]) -> str:
    given = asked.get("X-Request-Id")
    return given if given is not None and _SANE_ID.fullmatch(given) else f"{_START}-{next(_numbers)}"
