"""A short range of seeds holds, and each broken variant is noticed. The long range is `make torture`'s."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.simulation.mutants import BROKEN, Variant
from tests.torture.suites.simulation import run, simulate

SEEDS = range(40)


def test_whatever_fails_every_answer_holds(tmp_path: Path) -> None:
    report = run(tmp_path, SEEDS)
    assert report.violations == []
    assert report.faults > 5 * len(SEEDS) and report.checked > 50 * len(SEEDS)


@pytest.mark.parametrize("variant", BROKEN, ids=lambda variant: variant.promise.replace(" ", "_"))
def test_a_variant_that_breaks_a_promise_is_noticed(tmp_path: Path, variant: Variant) -> None:
    assert any(simulate(tmp_path, seed, variant).report.violations for seed in SEEDS)


def test_a_range_of_broken_variants_turns_the_suite_red(tmp_path: Path) -> None:
    violations = run(tmp_path, range(len(BROKEN)), broken=True).violations
    assert violations and all(" --broken " in violation for violation in violations), "each says how to see it again"


def test_a_seed_gives_the_same_run_each_time(tmp_path: Path) -> None:
    first, again = simulate(tmp_path, 7), simulate(tmp_path, 7)
    assert first.steps == again.steps and len(first.steps) > 20
