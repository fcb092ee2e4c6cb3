"""docs/performance.png: the three servers side by side, at 64 connections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.figures import LoadProfile, Results
from tests.bench.servers import BARE, BASELINE, DARKROOM, NAMES

COLOURS = {BARE: "#9aa5b1", BASELINE: "#d9822b", DARKROOM: "#1f6f54"}
LABELS = {
    BARE: "bare aiohttp",
    BASELINE: "baseline: one transaction per request",
    DARKROOM: "Darkroom with every feature on",
}
BAR_WIDTH = 0.27  # the positions of two calls are 1 apart


def draw_chart(results: Results, file: Path, caption: str) -> None:
    profiles = [profile for profile in results.profiles() if profile.connections == 64]
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10.5, 9), layout="constrained")
        rates, latencies = figure.subplots(2, 1)
        _draw_rates(rates, results, profiles)
        _draw_latencies(latencies, results, profiles)
        handles, labels = rates.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        figure.supxlabel(caption, fontsize=8, color="#555555")
        figure.savefig(file, dpi=130)


def _draw_rates(axes: Axes, results: Results, profiles: Sequence[LoadProfile]) -> None:
    for number, name in enumerate(NAMES):
        positions = [position + (number - 1) * BAR_WIDTH for position in range(len(profiles))]
        spreads = [results.spread(name, profile, lambda measurement: measurement.load.rate) for profile in profiles]
        medians = [spread.median for spread in spreads]
        whiskers = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
        axes.bar(positions, medians, BAR_WIDTH * 0.94, color=COLOURS[name], label=LABELS[name])
        axes.errorbar(positions, medians, yerr=whiskers, fmt="none", ecolor="#222222", elinewidth=1, capsize=3)
        for position, spread in zip(positions, spreads, strict=True):
            above = (position, spread.high)
            axes.annotate(f"{spread.median:,.0f}", above, (0, 4), textcoords="offset points", ha="center", fontsize=8.5)
    axes.set_title("Requests per second at 64 connections: median of the rounds, whiskers from lowest to highest")
    axes.set_ylabel("requests / s  (more is better)")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color="#e4e7eb")
    _label_calls(axes, profiles)


def _draw_latencies(axes: Axes, results: Results, profiles: Sequence[LoadProfile]) -> None:
    for number, name in enumerate(NAMES):
        positions = [position + (number - 1) * BAR_WIDTH for position in range(len(profiles))]
        p50 = [
            1000 * results.spread(name, profile, lambda measurement: measurement.load.p50).median
            for profile in profiles
        ]
        p99 = [
            1000 * results.spread(name, profile, lambda measurement: measurement.load.p99).median
            for profile in profiles
        ]
        axes.vlines(positions, p50, p99, color=COLOURS[name], linewidth=5, alpha=0.35)
        axes.plot(positions, p50, "o", color=COLOURS[name], markersize=8)
        axes.plot(positions, p99, "_", color=COLOURS[name], markersize=14, markeredgewidth=2.5)
        for position, low, high in zip(positions, p50, p99, strict=True):
            _annotate(axes, position, low, -13)
            _annotate(axes, position, high, 5)
    axes.set_yscale("log")
    axes.set_title("Response time at 64 connections: p50 (dot) to p99 (bar), medians of the rounds")
    axes.set_ylabel("milliseconds, logarithmic  (less is better)")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.margins(y=0.12)
    axes.grid(axis="y", color="#e4e7eb")
    _label_calls(axes, profiles)


def _annotate(axes: Axes, position: float, value: float, offset: int) -> None:
    text = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
    axes.annotate(text, (position, value), (0, offset), textcoords="offset points", ha="center", fontsize=8)


def _label_calls(axes: Axes, profiles: Sequence[LoadProfile]) -> None:
    axes.set_xticks(range(len(profiles)), [profile.title.replace(", ", ",\n") for profile in profiles])
    axes.tick_params(axis="x", length=0)
    axes.set_axisbelow(True)
