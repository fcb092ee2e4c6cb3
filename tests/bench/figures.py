"""Measurements, and what is calculated from them: medians, ranges, ratios and targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.bench.calls import MeasuredCall
from tests.bench.servers import BARE, BASELINE, DARKROOM
from tests.bench.wrk import Load


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """One call under one load. With `single_user`, all requests come from one member."""

    call: MeasuredCall
    connections: int
    single_user: bool = False

    @property
    def title(self) -> str:
        return f"{self.call.value}, one user" if self.single_user else self.call.value


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement of one server: `cpu` in seconds by thread, `peak_memory` in resident bytes."""

    server: str
    profile: LoadProfile
    load: Load
    cpu: dict[str, float]
    peak_memory: int

    def cpu_per_request(self) -> dict[str, float]:
        """CPU microseconds per request, by thread."""
        return {name: 1e6 * seconds / self.load.requests for name, seconds in self.cpu.items()}


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, the lowest and the highest of several figures."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        ordered = sorted(figures)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must be at least `limit`, or at most `limit` where `at_most` is set."""

    name: str
    limit: float
    measured: float
    at_most: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit


class Results:
    """All measurements of one run of the benchmark, in their order."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self.measurements = list(measurements)

    def profiles(self) -> list[LoadProfile]:
        return list(dict.fromkeys(measurement.profile for measurement in self.measurements))

    def of(self, server: str, profile: LoadProfile) -> list[Measurement]:
        return [found for found in self.measurements if found.server == server and found.profile == profile]

    def spread(self, server: str, profile: LoadProfile, figure: Callable[[Measurement], float]) -> Spread:
        return Spread.of(figure(measurement) for measurement in self.of(server, profile))

    def rate(self, server: str, profile: LoadProfile) -> float:
        """The median of requests per second."""
        return self.spread(server, profile, lambda measurement: measurement.load.rate).median

    def cpu(self, server: str, profile: LoadProfile) -> dict[str, float]:
        """The median of CPU microseconds per request, by thread."""
        rounds = [measurement.cpu_per_request() for measurement in self.of(server, profile)]
        threads = dict.fromkeys(thread for cpu in rounds for thread in cpu)
        return {thread: statistics.median(cpu.get(thread, 0.0) for cpu in rounds) for thread in threads}

    def targets(self) -> list[Target]:
        """Ratios of medians, at 64 connections."""
        create, single_user = (
            LoadProfile(MeasuredCall.CREATE, 64),
            LoadProfile(MeasuredCall.CREATE, 64, single_user=True),
        )
        read, status, login = (
            LoadProfile(call, 64) for call in (MeasuredCall.READ, MeasuredCall.STATUS, MeasuredCall.LOGIN)
        )
        single_user_ratio = self.rate(DARKROOM, single_user) / self.rate(DARKROOM, create)
        p50 = self.spread(DARKROOM, create, lambda measurement: measurement.load.p50).median
        p99 = self.spread(DARKROOM, create, lambda measurement: measurement.load.p99).median
        return [
            Target("task creation: Darkroom / bare aiohttp", 0.40, self._ratio(create, BARE)),
            Target("task creation: Darkroom / baseline", 8, self._ratio(create, BASELINE)),
            Target("task read: Darkroom / bare aiohttp", 0.55, self._ratio(read, BARE)),
            Target("membership status: Darkroom / bare aiohttp", 0.55, self._ratio(status, BARE)),
            Target("login: Darkroom / baseline", 3, self._ratio(login, BASELINE)),
            Target("task creation: one user / 1,000 users", 0.9, single_user_ratio),
            Target("task creation: p99 / p50", 4, p99 / p50, at_most=True),
        ]

    def _ratio(self, profile: LoadProfile, other: str) -> float:
        return self.rate(DARKROOM, profile) / self.rate(other, profile)


def percentile(figures: Iterable[float], percent: float) -> float:
    """The percentile by the nearest-rank method; infinite when there are no figures."""
    ordered = sorted(figures)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.inf
