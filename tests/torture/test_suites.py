"""Run each torture suite for one round, and its control, which must find a violation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.__main__ import CONTROL_SEEDS, SUITES, module_name
from tests.torture.stops import STEPS
from tests.torture.suite import Suite
from tests.torture.suites import lifecycle_kills, simulation, sms_pumping

OWN_TEST = (lifecycle_kills, simulation, sms_pumping)
every_suite = pytest.mark.parametrize("suite", [s for s in SUITES if s not in OWN_TEST], ids=module_name)
ROUND = [1]
PUMPING_REQUESTS = 20_000  # a fifth of what `make torture` sends for each seed


@every_suite
def test_nothing_is_violated(suite: Suite, tmp_path: Path) -> None:
    report = suite.run(tmp_path, ROUND)
    assert report.violations == []
    assert report.faults > 0 and report.checked > 0, "the round did nothing"


@every_suite
def test_the_control_turns_red(suite: Suite, tmp_path: Path) -> None:
    """A mutant may escape a single round, so it has as many as in `make torture`. The first violation ends the run."""
    assert suite.run(tmp_path, range(1, 1 + CONTROL_SEEDS), mutant=True).violations


def test_every_task_ends_after_a_kill_at_a_step_of_its_life(tmp_path: Path) -> None:
    """`make torture` kills at every step; these are one commit, one call of a port and one moment of a start."""
    steps = ("before the commit of succeeded", "after put", "before the commit of end of former leases")
    report = lifecycle_kills.run(tmp_path, [STEPS.index(step) for step in steps])
    assert report.violations == []
    assert report.checked > 0 and report.faults > len(steps)


def test_the_control_of_the_kills_at_each_step_turns_red(tmp_path: Path) -> None:
    assert lifecycle_kills.run(tmp_path, [STEPS.index("after the commit of claimed")], mutant=True).violations


def test_pumping_exceeds_no_limit(tmp_path: Path) -> None:
    report = sms_pumping.run(tmp_path, ROUND, requests=PUMPING_REQUESTS)
    assert report.violations == []
    assert report.checked >= PUMPING_REQUESTS and report.faults > 200


def test_the_control_of_pumping_turns_red(tmp_path: Path) -> None:
    assert sms_pumping.run(tmp_path, ROUND, mutant=True, requests=PUMPING_REQUESTS).violations
