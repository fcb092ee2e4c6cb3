"""Each torture suite for a round, and its control, which has to turn red."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.__main__ import SUITES, Suite
from tests.torture.suites import simulation, sms_pumping

OWN_TEST = (simulation, sms_pumping)
every_suite = pytest.mark.parametrize(
    "suite", [s for s in SUITES if s not in OWN_TEST], ids=lambda suite: suite.__name__.rpartition(".")[2]
)
ROUND = [1]


@every_suite
def test_nothing_is_violated(suite: Suite, tmp_path: Path) -> None:
    report = suite.run(tmp_path, ROUND)
    assert report.violations == []
    assert report.faults > 0 and report.checked > 0, "a round in which nothing happened proves nothing"


@every_suite
def test_the_control_turns_red(suite: Suite, tmp_path: Path) -> None:
    assert suite.run(tmp_path, ROUND, broken=True).violations


def test_no_ceiling_is_passed_by_pumping_and_its_control_turns_red(tmp_path: Path) -> None:
    """A fifth of what `make torture` does with each seed."""
    report = sms_pumping.run(tmp_path / "honest", ROUND, requests=20_000)
    assert report.violations == []
    assert report.checked >= 20_000 and report.faults > 200
    assert sms_pumping.run(tmp_path / "broken", ROUND, broken=True, requests=20_000).violations
