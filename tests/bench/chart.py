"""docs/performance.png: the three servers side by side, at 64 connections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.figures import Results, Scene
from tests.bench.servers import BARE, DARKROOM, NAMES, OBVIOUS

COLOURS = {BARE: "#9aa5b1", OBVIOUS: "#d9822b", DARKROOM: "#1f6f54"}
LABELS = {
    BARE: "bare aiohttp: reads the body, answers JSON",
    OBVIOUS: "obvious: one transaction a request, behind a lock",
    DARKROOM: "Darkroom, everything on",
}
WIDTH = 0.27  # of a bar; the places of two calls are 1 apart


def draw(results: Results, file: Path, ran_on: str) -> None:
    scenes = [scene for scene in results.scenes() if scene.connections == 64]
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10.5, 9), layout="constrained")
        rates, times = figure.subplots(2, 1)
        _draw_rates(rates, results, scenes)
        _draw_times(times, results, scenes)
        handles, labels = rates.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        figure.supxlabel(ran_on, fontsize=8, color="#555555")
        figure.savefig(file, dpi=130)


def _draw_rates(axes: Axes, results: Results, scenes: Sequence[Scene]) -> None:
    for number, name in enumerate(NAMES):
        places = [place + (number - 1) * WIDTH for place in range(len(scenes))]
        spreads = [results.spread(name, scene, lambda run: run.load.rate) for scene in scenes]
        medians = [spread.median for spread in spreads]
        whiskers = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
        axes.bar(places, medians, WIDTH * 0.94, color=COLOURS[name], label=LABELS[name])
        axes.errorbar(places, medians, yerr=whiskers, fmt="none", ecolor="#222222", elinewidth=1, capsize=3)
        for place, spread in zip(places, spreads, strict=True):
            above = (place, spread.high)
            axes.annotate(f"{spread.median:,.0f}", above, (0, 4), textcoords="offset points", ha="center", fontsize=8.5)
    axes.set_title("Requests per second at 64 connections: median of the rounds, whiskers from lowest to highest")
    axes.set_ylabel("requests / s  (more is better)")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color="#e4e7eb")
    _name_places(axes, scenes)


def _draw_times(axes: Axes, results: Results, scenes: Sequence[Scene]) -> None:
    for number, name in enumerate(NAMES):
        places = [place + (number - 1) * WIDTH for place in range(len(scenes))]
        p50 = [1000 * results.spread(name, scene, lambda run: run.load.p50).median for scene in scenes]
        p99 = [1000 * results.spread(name, scene, lambda run: run.load.p99).median for scene in scenes]
        axes.vlines(places, p50, p99, color=COLOURS[name], linewidth=5, alpha=0.35)
        axes.plot(places, p50, "o", color=COLOURS[name], markersize=8)
        axes.plot(places, p99, "_", color=COLOURS[name], markersize=14, markeredgewidth=2.5)
        for place, low, high in zip(places, p50, p99, strict=True):
            _annotate(axes, place, low, -13)
            _annotate(axes, place, high, 5)
    axes.set_yscale("log")
    axes.set_title("Time to the answer at 64 connections: p50 (dot) to p99 (bar), medians of the rounds")
    axes.set_ylabel("milliseconds, logarithmic  (less is better)")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.margins(y=0.12)
    axes.grid(axis="y", color="#e4e7eb")
    _name_places(axes, scenes)


def _annotate(axes: Axes, place: float, value: float, offset: int) -> None:
    text = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
    axes.annotate(text, (place, value), (0, offset), textcoords="offset points", ha="center", fontsize=8)


def _name_places(axes: Axes, scenes: Sequence[Scene]) -> None:
    axes.set_xticks(range(len(scenes)), [scene.title.replace(", ", ",\n") for scene in scenes])
    axes.tick_params(axis="x", length=0)
    axes.set_axisbelow(True)
