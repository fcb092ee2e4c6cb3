from __future__ import annotations

import pytest

from tests.bench.prober import PAUSE, next_moment


@pytest.mark.parametrize(("late", "pauses"), [(0.0, 1), (0.01, 1), (0.07, 2), (0.94, 19)])
def test_a_connection_asks_at_moments_of_its_own_however_long_it_waited(late: float, pauses: int) -> None:
    assert next_moment(1.003, 1.003 + late) == pytest.approx(1.003 + pauses * PAUSE)
