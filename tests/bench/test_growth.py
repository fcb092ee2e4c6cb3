"""`make bench-growth` in small: what it fills is sound, its calls are answered, and are still sound after them."""

from __future__ import annotations

from pathlib import Path

from tests.bench.growth import Compared, check, compare, make
from tests.bench.growth_calls import CALLS
from tests.bench.seed_data import Size


async def test_it_fills_calls_and_compares(tmp_path: Path) -> None:
    make(tmp_path / "big", Size(people=50, tasks=12))
    make(tmp_path / "small", Size(people=10, tasks=10))
    assert check(tmp_path / "big") and check(tmp_path / "small")
    compared = await compare(tmp_path, rounds=1, times=4, at_once=2)
    assert list(compared) == list(CALLS)
    assert all(measured.ratio > 0 for measured in compared.values())
    assert check(tmp_path / "big") and check(tmp_path / "small")


def test_a_call_that_got_slower_is_told_from_one_that_did_not() -> None:
    assert Compared(big=[3.0, 1.0, 2.0], small=[1.0, 1.0, 9.0]).ratio == 2.0
