"""The arithmetic of the bench: medians, ranges, ratios, percentiles, targets."""

from __future__ import annotations

import math

import pytest

from tests.bench.calls import Call
from tests.bench.figures import Results, Run, Scene, Spread, Target, percentile
from tests.bench.samples import CREATE, results, run
from tests.bench.servers import BARE, DARKROOM, NAMES, OBVIOUS


def test_a_spread_is_median_and_range() -> None:
    assert Spread.of([5, 1, 3]) == Spread(3, 1, 5)
    assert Spread.of([4, 2]) == Spread(3, 2, 4)
    assert Spread.of([7]) == Spread(7, 7, 7)


def test_percentiles_are_figures_that_were_seen() -> None:
    hundred = range(1, 101)
    assert [percentile(hundred, part) for part in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([9], 99) == 9
    assert percentile([], 50) == math.inf


@pytest.mark.parametrize(
    ("measured", "at_most", "reached"), [(2, False, True), (2, True, True), (1, False, False), (3, True, False)]
)
def test_a_target_is_reached_at_its_bound(measured: float, at_most: bool, reached: bool) -> None:
    assert Target("anything", 2, measured, at_most=at_most).reached is reached


def test_cpu_is_microseconds_a_request() -> None:
    assert run(DARKROOM, rate=1000).cpu_each() == {"event loop": pytest.approx(500), "writer": pytest.approx(100)}


def test_rates_and_cpu_are_medians_over_the_rounds() -> None:
    runs: list[Run] = [run(DARKROOM, rate=rate) for rate in (1000, 4000, 2000)]
    assert Results(runs).rate(DARKROOM, CREATE) == 2000
    assert Results(runs).cpu(DARKROOM, CREATE) == {"event loop": pytest.approx(250), "writer": pytest.approx(50)}


def test_targets_are_ratios_within_the_run() -> None:
    found = results({BARE: 10_000, OBVIOUS: 500, DARKROOM: 5000}, hot=4000)
    assert [target.measured for target in found.targets()] == pytest.approx([0.5, 10, 0.5, 0.5, 10, 0.8, 3])
    assert [target.reached for target in found.targets()] == [True, True, False, False, True, False, True]


def test_scenes_come_once_and_in_order() -> None:
    found = results(dict.fromkeys(NAMES, 1000.0), hot=1000)
    assert found.scenes() == [*(Scene(call, 64) for call in Call), Scene(Call.CREATE, 64, hot=True)]
    assert Results([*found.runs, *found.runs]).scenes() == found.scenes()
