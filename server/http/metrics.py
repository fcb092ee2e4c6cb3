"""Routes: what is needed to trust the server in production, in Prometheus' text format.

The metrics themselves are declared beside what they measure: here those of HTTP.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from ipaddress import ip_address

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from actors.errors import NotAllowed, NotLoggedIn
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route

_REQUESTS = Counter("darkroom_http_requests", "Requests by route template and status", ["method", "route", "status"])
_SECONDS = Histogram("darkroom_http_request_seconds", "Time from a request's head to its answer", ["method", "route"])
_REFUSALS = Counter("darkroom_http_refusals", "Failures by the code in their envelope", ["code"])

NO_ROUTE = "(no route)"
_METHODS = {"GET", "HEAD", "POST", "PUT", "OPTIONS"}  # a client can invent others without end

_requests = lru_cache(maxsize=1024)(_REQUESTS.labels)
_seconds = lru_cache(maxsize=256)(_SECONDS.labels)


def count_request(method: str, template: str, status: int, seconds: float) -> None:
    method = method if method in _METHODS else "other"
    _requests(method, template, str(status)).inc()
    _seconds(method, template).observe(seconds)


def count_refusal(code: int) -> None:
    _REFUSALS.labels(str(code)).inc()


def route_template(request: web.Request) -> str:
    """The route's pattern: the path itself may hold what belongs neither in a log nor in a label."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else NO_ROUTE


class MetricRoutes:
    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def routes(self) -> list[AnyRoute]:
        return [Route("GET", "/metrics", self._metrics, Access.PUBLIC)]

    async def _metrics(self, call: Call[NoBody, NoQuery]) -> web.Response:
        self._check(call.request)
        return web.Response(body=generate_latest(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    def _check(self, request: web.Request) -> None:
        """Raises NotLoggedIn for another token than the configured one, NotAllowed for others than this machine."""
        if self._token:
            shown = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(shown, b"Bearer " + self._token):
                raise NotLoggedIn
        elif not _is_local(request):
            raise NotAllowed


def _is_local(request: web.Request) -> bool:
    """From this machine itself, and not passed on by a proxy that runs on it."""
    if hdrs.FORWARDED in request.headers or "X-Forwarded-For" in request.headers:
        return False
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
