"""The interface of a torture suite, its report, and the loop over its rounds.

A suite is a module in suites/ that implements `Suite`. `make torture` runs all of them for long, `make test` for one
short round each. A seed stands for one round: everything random in the round comes from `random.Random(seed)`, so that
the round can be repeated. With `mutant`, the same checks run against a variant of Darkroom that is broken on purpose;
a suite that finds no violation in its mutant proves nothing. A suite with quick rounds sets `ROUNDS_PER_SEED = 100`:
each seed given to `make torture` then stands for a hundred seeds of the suite.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol


@dataclass(slots=True)
class SuiteReport:
    """The number of injected faults, the number of checked answers, and each violated guarantee with its seed."""

    faults: int = 0
    checked: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: SuiteReport, label: str = "") -> None:
        """Add another report; `label` is put before each of its violations."""
        self.faults += other.faults
        self.checked += other.checked
        self.violations += [f"{label}: {violation}" if label else violation for violation in other.violations]


class Suite(Protocol):
    """`CONTROL` describes the mutant. `run` may fill `folder`, which does not exist yet."""

    __name__: str
    NAME: str
    CONTROL: str

    def run(self, folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport: ...


RunRound = Callable[[Path, Random, bool], Coroutine[Any, Any, SuiteReport]]  # folder, random numbers, mutant


def run_rounds(folder: Path, seeds: Sequence[int], run_round: RunRound, *, mutant: bool) -> SuiteReport:
    """Run a round for each seed, in a folder of its own. A mutant's rounds end with the first violation."""
    report = SuiteReport()
    for seed in seeds:
        round_folder = folder / str(seed)
        round_folder.mkdir(parents=True)
        report.add(asyncio.run(run_round(round_folder, Random(seed), mutant)), f"seed {seed}")
        if mutant and report.violations:
            break
    return report
