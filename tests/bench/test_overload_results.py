"""What the prober saw, judged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tests.bench.calls import Call
from tests.bench.overload_results import BUSY, OK, Storm
from tests.bench.prober import BROKEN, Answer
from tests.bench.samples import load

MB = 1_000_000


def answer(status: int, milliseconds: float, *, retry_after: bool = True, call: Call = Call.CREATE) -> Answer:
    return Answer(call.value, 0.0, milliseconds / 1000, status, retry_after and status == BUSY)


def storm(during: Sequence[Answer], *, after: float = 12, memory: Sequence[int] = (60 * MB,) * 9) -> Storm:
    before, later = [answer(OK, 10)] * 5, [answer(OK, after)] * 5
    return Storm(3000, load(5000), load(9000, refused=12_000), before, during, later, memory)


def judged(storm: Storm) -> list[bool]:
    return [target.reached for target in storm.targets()]


def test_a_server_that_refuses_fast_holds() -> None:
    held = storm([answer(OK, 400), answer(BUSY, 20), answer(BUSY, 90)])
    assert judged(held) == [True] * 5
    assert "3,000 creations a second under the storm, 5,000 at 64 connections (60 %)" in held.section()
    assert "| task creation | 3 | 33.3 % | 66.7 % | 0 | 400.0 / 400.0 / 400.0 | 20.0 / 90.0 / 90.0 |" in held.section()


@pytest.mark.parametrize(
    ("during", "missed"),
    [
        ([answer(BUSY, 101)], 0),
        ([answer(OK, 3000)], 0),
        ([], 0),
        ([answer(BUSY, 10, retry_after=False)], 1),
        ([answer(500, 10)], 2),
        ([answer(BROKEN, 10), answer(OK, 10)], 2),
    ],
    ids=["late refusal", "late answer", "no answer", "no Retry-After", "a fault", "a broken connection"],
)
def test_a_server_that_does_not_is_told_where(during: Sequence[Answer], missed: int) -> None:
    assert judged(storm(during))[missed] is False


def test_memory_that_grows_and_a_slow_recovery_are_missed() -> None:
    growing = storm([answer(OK, 10)], memory=[n * 10 * MB for n in range(1, 10)])
    assert growing.growth == pytest.approx(80 / 50)
    assert judged(growing)[3] is False
    assert judged(storm([answer(OK, 10)], after=16))[4] is False


def test_nobody_answered_after_the_storm() -> None:
    silent = Storm(10, load(1), load(1), [answer(OK, 1)], [answer(OK, 1)], [], (MB,) * 3)
    assert silent.recovery == math.inf and "–" in silent.section()
