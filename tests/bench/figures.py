"""What was measured, and what becomes of several measurements: medians, ranges, ratios, targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.bench.calls import Call
from tests.bench.servers import BARE, DARKROOM, OBVIOUS
from tests.bench.wrk import Load


@dataclass(frozen=True, slots=True)
class Scene:
    """One call under one load. `hot`: all of it comes from a single person."""

    call: Call
    connections: int
    hot: bool = False

    @property
    def title(self) -> str:
        return f"{self.call.value}, one user" if self.hot else self.call.value


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one server. `cpu` in seconds by thread, `peak` resident bytes since the process began."""

    server: str
    scene: Scene
    load: Load
    cpu: dict[str, float]
    peak: int

    def cpu_each(self) -> dict[str, float]:
        """Microseconds of CPU a request, by thread."""
        return {name: 1e6 * seconds / self.load.requests for name, seconds in self.cpu.items()}


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of the same thing: their median, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        seen = sorted(figures)
        return cls(statistics.median(seen), seen[0], seen[-1])


@dataclass(frozen=True, slots=True)
class Target:
    """Something that has to be at least, or at most, so much."""

    name: str
    wanted: float
    measured: float
    at_most: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted


class Results:
    """All runs, in the order in which they were made."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)

    def scenes(self) -> list[Scene]:
        return list(dict.fromkeys(run.scene for run in self.runs))

    def of(self, server: str, scene: Scene) -> list[Run]:
        return [run for run in self.runs if run.server == server and run.scene == scene]

    def spread(self, server: str, scene: Scene, figure: Callable[[Run], float]) -> Spread:
        return Spread.of(figure(run) for run in self.of(server, scene))

    def rate(self, server: str, scene: Scene) -> float:
        """The median of requests a second."""
        return self.spread(server, scene, lambda run: run.load.rate).median

    def cpu(self, server: str, scene: Scene) -> dict[str, float]:
        """The median of CPU microseconds a request, by thread."""
        runs = [run.cpu_each() for run in self.of(server, scene)]
        names = dict.fromkeys(name for run in runs for name in run)
        return {name: statistics.median(run.get(name, 0.0) for run in runs) for name in names}

    def targets(self) -> list[Target]:
        """Ratios of medians within this run, at 64 connections."""
        create, hot = Scene(Call.CREATE, 64), Scene(Call.CREATE, 64, hot=True)
        read, status, login = Scene(Call.READ, 64), Scene(Call.STATUS, 64), Scene(Call.LOGIN, 64)
        p50, p99 = (
            self.spread(DARKROOM, create, lambda run: run.load.p50).median,
            self.spread(DARKROOM, create, lambda run: run.load.p99).median,
        )
        return [
            Target("task creation: Darkroom / bare aiohttp", 0.40, self._ratio(create, BARE)),
            Target("task creation: Darkroom / obvious", 8, self._ratio(create, OBVIOUS)),
            Target("task read: Darkroom / bare aiohttp", 0.55, self._ratio(read, BARE)),
            Target("membership status: Darkroom / bare aiohttp", 0.55, self._ratio(status, BARE)),
            Target("login: Darkroom / obvious", 3, self._ratio(login, OBVIOUS)),
            Target(
                "task creation: one user / 1,000 users", 0.9, self.rate(DARKROOM, hot) / self.rate(DARKROOM, create)
            ),
            Target("task creation: p99 / p50", 4, p99 / p50, at_most=True),
        ]

    def _ratio(self, scene: Scene, other: str) -> float:
        return self.rate(DARKROOM, scene) / self.rate(other, scene)


def percentile(figures: Iterable[float], percent: float) -> float:
    """The smallest figure that so many percent of them do not exceed (nearest rank); infinite where there are none."""
    seen = sorted(figures)
    return seen[max(0, math.ceil(len(seen) * percent / 100) - 1)] if seen else math.inf
