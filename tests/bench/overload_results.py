"""What more load than a server can carry did to it: figures, targets, and their section of the report."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.calls import Call
from tests.bench.figures import Target, percentile
from tests.bench.prober import BROKEN, Answer
from tests.bench.report import table
from tests.bench.wrk import Load

OK, BUSY = 200, 503


@dataclass(frozen=True, slots=True)
class Storm:
    """`calm` is wrk at 64 connections, `load` wrk at `connections`; the answers are the prober's.

    `before` the storm, `during` it, and in the first second `after` it. `memory`: resident bytes, sampled evenly.
    """

    connections: int
    calm: Load
    load: Load
    before: Sequence[Answer]
    during: Sequence[Answer]
    after: Sequence[Answer]
    memory: Sequence[int]

    def targets(self) -> list[Target]:
        busy = [answer for answer in self.during if answer.status == BUSY]
        told = sum(answer.retry_after for answer in busy)
        odd = [answer for answer in (*self.before, *self.during, *self.after) if answer.status not in (OK, BUSY)]
        # Where nothing was refused, whatever was answered has to have come in time.
        waited = 1000 * p99(busy or self.during)
        return [
            Target("overload: p99 of a refusal (503)", 100, waited, at_most=True, unit=" ms"),
            Target("overload: refusals with Retry-After", 100, 100 * told / len(busy) if busy else 100.0, unit=" %"),
            Target("overload: answers other than 200 and 503", 0, len(odd), at_most=True),
            Target("overload: memory, last third / second third", 1.1, self.growth, at_most=True),
            Target("overload: creation p50, first second after / before", 1.5, self.recovery, at_most=True),
        ]

    @property
    def growth(self) -> float:
        """The median of the last third of the memory samples, relative to that of the second third."""
        third = len(self.memory) // 3
        return statistics.median(self.memory[2 * third :]) / statistics.median(self.memory[third : 2 * third])

    @property
    def recovery(self) -> float:
        return p50(_accepted(_of(self.after, Call.CREATE))) / p50(_accepted(_of(self.before, Call.CREATE)))

    def section(self) -> str:
        return "\n".join(
            [
                "## More load than it can carry\n",
                f"wrk keeps {self.connections:,} connections creating tasks for {self.load.seconds:.0f} s and asks "
                "again at once after a refusal, while a prober with 40 connections of its own goes on asking at a "
                "steady pace. The prober's answers:\n",
                self._answers(),
                self._goodput(),
                self._memory(),
                self._recovery(),
            ]
        )

    def _answers(self) -> str:
        def row(call: Call) -> list[str]:
            answers = _of(self.during, call)
            by_status = [_accepted(answers), [a for a in answers if a.status == BUSY]]
            odd = len(answers) - sum(map(len, by_status))
            shares = [f"{100 * len(part) / max(1, len(answers)):.1f} %" for part in by_status]
            return [call.value, str(len(answers)), *shares, str(odd), *map(_times, by_status)]

        head = (
            "call",
            "answers",
            "200",
            "503",
            "other or none",
            "200: p50 / p99 / max, ms",
            "503: p50 / p99 / max, ms",
        )
        return table(head, [row(call) for call in (Call.CREATE, Call.STATUS, Call.READ)])

    def _goodput(self) -> str:
        load, calm = self.load, self.calm
        return (
            f"Goodput: {load.accepted:,.0f} creations a second under the storm, {calm.accepted:,.0f} at 64 connections "
            f"({100 * load.accepted / calm.accepted:.0f} %). wrk itself saw {load.requests:,} answers, "
            f"{100 * load.refused / max(1, load.requests):.1f} % of them refusals, {load.broken:,} connections that "
            f"failed and {load.late:,} answers later than its timeout.\n"
        )

    def _memory(self) -> str:
        third = len(self.memory) // 3
        parts = [statistics.median(self.memory[n * third : (n + 1) * third]) / 1e6 for n in range(3)]
        said = ", ".join(f"{part:.0f}" for part in parts)
        return (
            f"Resident memory in the three thirds of the storm: {said} MB (medians of {len(self.memory)} samples), "
            f"at most {max(self.memory) / 1e6:.0f} MB.\n"
        )

    def _recovery(self) -> str:
        def row(call: Call) -> list[str]:
            before, after = (_accepted(_of(answers, call)) for answers in (self.before, self.after))
            return [call.value, _times(before), _times(after)]

        head = ("call", "before the storm: p50 / p99 / max, ms", "first second after it: p50 / p99 / max, ms")
        return table(head, [row(call) for call in (Call.CREATE, Call.STATUS, Call.READ)])


def _of(answers: Sequence[Answer], call: Call) -> list[Answer]:
    return [answer for answer in answers if answer.call == call.value]


def _accepted(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.status == OK]


def p50(answers: Sequence[Answer]) -> float:
    """Seconds; infinite where nothing was answered."""
    return percentile([answer.seconds for answer in answers if answer.status != BROKEN], 50)


def p99(answers: Sequence[Answer]) -> float:
    return percentile([answer.seconds for answer in answers if answer.status != BROKEN], 99)


def _times(answers: Sequence[Answer]) -> str:
    if not answers:
        return "–"
    slowest = max(answer.seconds for answer in answers)
    return " / ".join(f"{1000 * seconds:.1f}" for seconds in (p50(answers), p99(answers), slowest))
