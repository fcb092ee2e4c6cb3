"""Runs as a test wants them, without a server."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.calls import Call
from tests.bench.figures import Results, Run, Scene
from tests.bench.servers import BARE, OBVIOUS
from tests.bench.wrk import Load

CREATE = Scene(Call.CREATE, 64)
CPU = {BARE: {"event loop": 1.0}, OBVIOUS: {"event loop": 1.0, "database": 0.5}}


def load(rate: float, refused: int = 0) -> Load:
    """Two seconds of so many answers a second."""
    return Load(round(2 * rate), 2.0, refused, broken=0, late=0, p50=0.01, p99=0.03, slowest=0.05)


def run(server: str, rate: float, scene: Scene = CREATE) -> Run:
    return Run(server, scene, load(rate), CPU.get(server, {"event loop": 1.0, "writer": 0.2}), 60_000_000)


def results(rates: Mapping[str, float], hot: float) -> Results:
    """Every call at 64 connections at the same rate, and `hot` for creation by one user."""
    runs = [run(server, rate, Scene(call, 64)) for call in Call for server, rate in rates.items()]
    return Results([*runs, *(run(server, hot, Scene(Call.CREATE, 64, hot=True)) for server in rates)])
