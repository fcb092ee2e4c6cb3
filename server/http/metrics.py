"""The metrics of the HTTP layer: requests and refusals.

Every module declares the metrics of what it does. Requests are counted in plain lists, which are turned into
Prometheus' format only when /metrics is read, because the counters and histograms of prometheus_client use locks and
are slower (docs/decisions/0016).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate

from aiohttp import web
from prometheus_client import REGISTRY, Counter
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

NO_ROUTE = "(no route)"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # of the histogram, in seconds

_METHODS = {"GET", "HEAD", "POST", "PUT", "OPTIONS"}  # clients can invent any number of others


class _RequestCollector(Collector):
    """Counts and times requests by method, route template and status."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str, int], list[int]] = {}
        self._seconds: dict[tuple[str, str, int], float] = {}

    def add(self, method: str, template: str, status: int, seconds: float) -> None:
        key = (method if method in _METHODS else "other", template, status)
        if key not in self._buckets:
            self._buckets[key], self._seconds[key] = [0] * (len(BOUNDS) + 1), 0.0
        self._buckets[key][bisect_left(BOUNDS, seconds)] += 1
        self._seconds[key] += seconds

    def collect(self) -> Iterable[Metric]:
        names = ["method", "route", "status"]
        counts = CounterMetricFamily("darkroom_http_requests", "Requests by route template and status", labels=names)
        times = HistogramMetricFamily(
            "darkroom_http_request_seconds", "Seconds from the request head to the response", labels=names
        )
        upper_bounds = [*map(str, BOUNDS), "+Inf"]
        for key, buckets in self._buckets.items():
            labels = [key[0], key[1], str(key[2])]
            counts.add_metric(labels, sum(buckets))
            cumulative = list(zip(upper_bounds, accumulate(buckets), strict=True))
            times.add_metric(labels, cumulative, self._seconds[key])
        return counts, times


_REQUESTS = _RequestCollector()
REGISTRY.register(_REQUESTS)
_REFUSALS = Counter("darkroom_http_refusals", "Failures by the code in their envelope", ["code"])

count_request = _REQUESTS.add


@lru_cache(maxsize=256)
def _refusals_by_code(code: int) -> Counter:
    return _REFUSALS.labels(str(code))


def count_refusal(code: int) -> None:
    _refusals_by_code(code).inc()


def route_template(request: web.Request) -> str:
    """Return the pattern of the request's route, for labels and logs. The path itself may contain secrets."""
    try:
        resource = request.match_info.route.resource
    except (AssertionError, AttributeError):  # aiohttp raises these when it has not looked for a route
        return NO_ROUTE
    return resource.canonical if resource is not None else NO_ROUTE
