"""Routes: what is needed to trust the server in production, in Prometheus' text format.

Metrics are declared beside what they measure: here those of HTTP. They are tallied in plain lists and turned into
Prometheus' terms when somebody asks: every request pays for them, and its own counters and histograms, made for
threads, cost five times as much (6 us a request of 120).
"""

from __future__ import annotations

import hmac
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from itertools import accumulate

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.errors import NotAllowed, NotLoggedIn
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route

NO_ROUTE = "(no route)"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds

_METHODS = {"GET", "HEAD", "POST", "PUT", "OPTIONS"}  # a client can invent others without end


class _Requests(Collector):
    """How many requests there were of each method, route template and status, and how long they took."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str, int], list[int]] = {}
        self._seconds: dict[tuple[str, str, int], float] = {}

    def add(self, method: str, template: str, status: int, seconds: float) -> None:
        key = (method if method in _METHODS else "other", template, status)
        if key not in self._tallies:
            self._tallies[key], self._seconds[key] = [0] * (len(BOUNDS) + 1), 0.0
        self._tallies[key][bisect_left(BOUNDS, seconds)] += 1
        self._seconds[key] += seconds

    def collect(self) -> Iterable[Metric]:
        labels = ["method", "route", "status"]
        count = CounterMetricFamily("darkroom_http_requests", "Requests by route template and status", labels=labels)
        took = HistogramMetricFamily("darkroom_http_request_seconds", "From the head to the answer", labels=labels)
        for key, tally in self._tallies.items():
            values = [key[0], key[1], str(key[2])]
            count.add_metric(values, sum(tally))
            ends = [*map(str, BOUNDS), "+Inf"]
            took.add_metric(values, list(zip(ends, accumulate(tally), strict=True)), self._seconds[key])
        return count, took


_REQUESTS = _Requests()
REGISTRY.register(_REQUESTS)
_REFUSALS = Counter("darkroom_http_refusals", "Failures by the code in their envelope", ["code"])

count_request = _REQUESTS.add


@lru_cache(maxsize=256)
def _refusals(code: int) -> Counter:
    return _REFUSALS.labels(str(code))


def count_refusal(code: int) -> None:
    _refusals(code).inc()


def route_template(request: web.Request) -> str:
    """The route's pattern: the path itself may hold what belongs neither in a log nor in a label."""
    try:
        resource = request.match_info.route.resource
    except (AssertionError, AttributeError):  # aiohttp's word for no route, when none was looked for yet
        return NO_ROUTE
    return resource.canonical if resource is not None else NO_ROUTE


class MetricRoutes:
    """A scraper shows the `token` as bearer token. Where there is none, nobody is answered, or `local` callers are."""

    def __init__(self, token: str, *, local: bool) -> None:
        self._token, self._local = token.encode(), local

    def routes(self) -> list[AnyRoute]:
        return [Route("GET", "/metrics", self._metrics, Access.PUBLIC)]

    async def _metrics(self, call: Call[NoBody, NoQuery]) -> web.Response:
        self._check(call.request)
        return web.Response(body=generate_latest(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    def _check(self, request: web.Request) -> None:
        """Raises NotLoggedIn for another token than the configured one, NotAllowed where there is none."""
        if self._token:
            shown = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(shown, b"Bearer " + self._token):
                raise NotLoggedIn
        elif not (self._local and _is_local(request)):
            raise NotAllowed


def _is_local(request: web.Request) -> bool:
    """From this machine itself, and not passed on by a proxy that runs on it."""
    if hdrs.FORWARDED in request.headers or "X-Forwarded-For" in request.headers:
        return False
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
