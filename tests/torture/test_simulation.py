"""A short range of the simulation's seeds, and its mutants. `make torture` runs the long range."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.simulation.mutants import MUTANTS, Variant
from tests.torture.suites.simulation import run, simulate

SEEDS = range(40)


def test_every_answer_holds_whatever_fails(tmp_path: Path) -> None:
    report = run(tmp_path, SEEDS)
    assert report.violations == []
    assert report.faults > 5 * len(SEEDS) and report.checked > 50 * len(SEEDS)


@pytest.mark.parametrize("variant", MUTANTS, ids=lambda variant: variant.promise.replace(" ", "_"))
def test_a_mutant_that_breaks_a_promise_is_found(tmp_path: Path, variant: Variant) -> None:
    assert any(simulate(tmp_path, seed, variant).report.violations for seed in SEEDS)


def test_a_seed_gives_the_same_run_each_time(tmp_path: Path) -> None:
    first, second = simulate(tmp_path, 7), simulate(tmp_path, 7)
    assert first.steps == second.steps and len(first.steps) > 20
