"""The results of the overload: figures, targets, and their section of the report."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.calls import MeasuredCall
from tests.bench.figures import Target, percentile
from tests.bench.prober import NO_RESPONSE, ProbeResult
from tests.bench.report import table
from tests.bench.wrk import Load

OK, OVERLOADED = 200, 503
NORMAL_CONNECTIONS = 64
CALLS = (MeasuredCall.CREATE, MeasuredCall.STATUS, MeasuredCall.READ)


@dataclass(frozen=True, slots=True)
class OverloadResults:
    """`normal` is wrk's load with 64 connections, `overload` its load with `connections`.

    The prober's results come from before the overload, from during it, and from the first second after it. `memory`
    holds resident bytes, sampled at equal intervals.
    """

    connections: int
    normal: Load
    overload: Load
    before: Sequence[ProbeResult]
    during: Sequence[ProbeResult]
    after: Sequence[ProbeResult]
    memory: Sequence[int]

    def targets(self) -> list[Target]:
        refusals = _with_status(self.during, OVERLOADED)
        retry_after = sum(result.retry_after for result in refusals)
        percent = 100 * retry_after / len(refusals) if refusals else 100.0
        every = (*self.before, *self.during, *self.after)
        unexpected = [result for result in every if result.status not in (OK, OVERLOADED)]
        # When nothing was refused, the accepted requests have to be this fast.
        refusal_p99 = 1000 * p99(refusals or self.during)
        return [
            Target("overload: p99 of a refusal (503)", 100, refusal_p99, at_most=True, unit=" ms"),
            Target("overload: refusals with Retry-After", 100, percent, unit=" %"),
            Target("overload: answers other than 200 and 503", 0, len(unexpected), at_most=True),
            Target("overload: memory, last third / second third", 1.1, self.growth, at_most=True),
            Target("overload: creation p50, first second after / before", 1.5, self.recovery, at_most=True),
        ]

    @property
    def growth(self) -> float:
        """The median of the last third of the memory samples, relative to that of the second third."""
        _, second, last = self._memory_thirds()
        return last / second

    @property
    def recovery(self) -> float:
        """The median time of a creation after the overload, relative to that before it."""
        before, after = (_with_status(_of(results, MeasuredCall.CREATE), OK) for results in (self.before, self.after))
        return p50(after) / p50(before)

    def section(self) -> str:
        return "\n".join(
            [
                "## Overload\n",
                f"wrk keeps {self.connections:,} connections that create tasks for {self.overload.seconds:.0f} s and "
                "send the next request immediately after a refusal. At the same time a prober with 40 connections of "
                "its own sends requests at a steady pace. The results of the prober:\n",
                self._response_table(),
                self._goodput(),
                self._memory_use(),
                self._recovery_table(),
            ]
        )

    def _response_table(self) -> str:
        def row(call: MeasuredCall) -> list[str]:
            results = _of(self.during, call)
            by_status = [_with_status(results, status) for status in (OK, OVERLOADED)]
            unexpected = len(results) - sum(map(len, by_status))
            shares = [f"{100 * len(part) / max(1, len(results)):.1f} %" for part in by_status]
            return [call.value, str(len(results)), *shares, str(unexpected), *map(_times, by_status)]

        times = [f"{status}: p50 / p99 / max, ms" for status in (OK, OVERLOADED)]
        return table(("call", "answers", "200", "503", "other or none", *times), [row(call) for call in CALLS])

    def _goodput(self) -> str:
        load, normal = self.overload, self.normal
        return (
            f"Goodput: {load.accepted:,.0f} creations per second during the overload, {normal.accepted:,.0f} with 64 "
            f"connections ({100 * load.accepted / normal.accepted:.0f} %). wrk itself received {load.requests:,} "
            f"answers, {100 * load.refused / max(1, load.requests):.1f} % of them refusals. {load.broken:,} of its "
            f"connections failed and {load.late:,} answers came later than its timeout.\n"
        )

    def _memory_use(self) -> str:
        thirds = ", ".join(f"{median / 1e6:.0f}" for median in self._memory_thirds())
        return (
            f"Resident memory in the three thirds of the overload: {thirds} MB (medians of {len(self.memory)} samples),"
            f" at most {max(self.memory) / 1e6:.0f} MB.\n"
        )

    def _memory_thirds(self) -> list[float]:
        third = len(self.memory) // 3
        parts = self.memory[:third], self.memory[third : 2 * third], self.memory[2 * third :]
        return [statistics.median(part) for part in parts]

    def _recovery_table(self) -> str:
        def row(call: MeasuredCall) -> list[str]:
            before, after = (_with_status(_of(results, call), OK) for results in (self.before, self.after))
            return [call.value, _times(before), _times(after)]

        head = ("call", "before the overload: p50 / p99 / max, ms", "first second after it: p50 / p99 / max, ms")
        return table(head, [row(call) for call in CALLS])


def _of(results: Sequence[ProbeResult], call: MeasuredCall) -> list[ProbeResult]:
    return [result for result in results if result.call == call.value]


def _with_status(results: Sequence[ProbeResult], status: int) -> list[ProbeResult]:
    return [result for result in results if result.status == status]


def p50(results: Sequence[ProbeResult]) -> float:
    """Seconds, or infinity when there is no response."""
    return percentile([result.seconds for result in results if result.status != NO_RESPONSE], 50)


def p99(results: Sequence[ProbeResult]) -> float:
    """Seconds, or infinity when there is no response."""
    return percentile([result.seconds for result in results if result.status != NO_RESPONSE], 99)


def _times(results: Sequence[ProbeResult]) -> str:
    if not results:
        return "–"
    slowest = max(result.seconds for result in results)
    return " / ".join(f"{1000 * seconds:.1f}" for seconds in (p50(results), p99(results), slowest))
