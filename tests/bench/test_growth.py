"""`make bench-growth` in small: the databases are sound, every call succeeds, and they are sound afterwards."""

from __future__ import annotations

from pathlib import Path

from tests.bench.growth import compare, create_data_folder, is_sound
from tests.bench.growth_calls import CALLS
from tests.bench.seed_data import Size


async def test_growth_is_measured_on_sound_databases(tmp_path: Path) -> None:
    create_data_folder(tmp_path / "big", Size(users=50, tasks_per_user=12))
    create_data_folder(tmp_path / "small", Size(users=10, tasks_per_user=10))
    comparisons = await compare(tmp_path, rounds=1, calls=4, concurrency=2)
    assert list(comparisons) == list(CALLS)
    assert is_sound(tmp_path / "big") and is_sound(tmp_path / "small")
