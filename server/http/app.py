"""The aiohttp application: it puts every response into the envelope and gives it a request id."""

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
from server.http.admission import AdmissionControl, AdmissionControls
from server.http.body import MAX_JSON_BYTES
from server.http.cors import Cors
from server.http.errors import RequestRefused, failure_of, http_failure
from server.http.headers import DefaultHeaders
from server.http.json_response import serialize_response
from server.http.language import prefers_english
from server.http.metrics import count_refusal, count_request, route_template
from server.http.route import (
    AdminCheck,
    AnyRoute,
    Endpoint,
    add_routes,
    failure_content,
    failure_response,
    wants_english,
)
from server.logs.format import REQUEST_ID

log = structlog.stdlib.get_logger("darkroom.http")

_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID_PREFIX, _id_numbers = secrets.token_hex(8), itertools.count(1)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ProcessRequest = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
RejectRequest = Callable[[RawRequestMessage], bytes]

PROCESS_REQUEST: web.AppKey[ProcessRequest] = web.AppKey("process request")
"""Wraps the whole application, as a middleware would; an aiohttp middleware is slower (docs/decisions/0016)."""

REJECT_REQUEST: web.AppKey[RejectRequest] = web.AppKey("reject request")
"""Makes the whole response, as bytes, to a request that admission control rejects."""

ADMISSION_CONTROLS: web.AppKey[AdmissionControls] = web.AppKey("admission controls")

DEFAULT_HEADERS: web.AppKey[DefaultHeaders] = web.AppKey("default headers")


def build_app(
    routes: Sequence[AnyRoute], tokens: Tokens, check_admin: AdminCheck, cors: Cors, *, https: bool = False
) -> web.Application:
    """Build the application from its routes. `https` says whether browsers reach the server over HTTPS only."""
    app = web.Application(client_max_size=MAX_JSON_BYTES)
    app[DEFAULT_HEADERS] = DefaultHeaders(https=https)
    app[REJECT_REQUEST] = _make_reject(cors, app[DEFAULT_HEADERS])
    limits = {(route.method, route.path): route.max_in_flight for route in routes}
    app[ADMISSION_CONTROLS] = {key: AdmissionControl(limit) for key, limit in limits.items() if limit is not None}
    app[PROCESS_REQUEST] = _make_process(cors, add_routes(app, routes, tokens, check_admin))
    return app


def _make_reject(cors: Cors, default_headers: DefaultHeaders) -> RejectRequest:
    def reject(message: RawRequestMessage) -> bytes:
        request_id, english = _request_id(message.headers), prefers_english(message.headers.get("Accept-Language", ""))
        failure = failure_of(Overloaded(retry_after=1), english)
        headers = CIMultiDict(failure.headers)
        headers["X-Request-Id"] = request_id
        cors.add_headers(message.headers, headers)
        count_refusal(failure.code)
        count_request(message.method, message.path, failure.status, 0)
        body = to_json(failure_content(failure, request_id))
        return serialize_response(failure.status, default_headers, headers, body)

    return reject


def _make_process(cors: Cors, fixed_endpoints: Mapping[tuple[str, str], Endpoint]) -> ProcessRequest:
    async def process(request: web.Request, handler: Handler) -> web.StreamResponse:
        started_at, request_id = time.monotonic(), _request_id(request.headers)
        REQUEST_ID.set(request_id)
        # A fixed path is looked up in a dict, because aiohttp's router tries one route after the other
        # (docs/decisions/0016). A request found here has no match_info. An Expect header needs aiohttp's handling.
        path = request.rel_url.raw_path
        endpoint = fixed_endpoints.get((request.method, path)) if hdrs.EXPECT not in request.headers else None
        template = None if endpoint is None else path  # aiohttp knows the template of any other path
        response = cors.preflight(request) or await _run_handler(request, endpoint or handler, request_id, template)
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
            cors.add_headers(request.headers, response.headers)
        seconds = time.monotonic() - started_at
        count_request(request.method, template or route_template(request), response.status, seconds)
        return response

    return process


async def _run_handler(
    request: web.Request, handler: Handler, request_id: str, template: str | None
) -> web.StreamResponse:
    """Run the handler and turn every exception into a failure envelope. Only here does an exception get its status."""
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
        log.exception("request failed", method=request.method, route=template or route_template(request))
    count_refusal(failure.code)
    return failure_response(request, failure, request_id)


def _request_id(headers: Mapping[str, str]) -> str:
    """Return the client's request id if it is valid, otherwise a new one."""
    client_id = headers.get("X-Request-Id")
    if client_id is not None and _VALID_REQUEST_ID.fullmatch(client_id):
        return client_id
    return f"{_ID_PREFIX}-{next(_id_numbers)}"
