"""What a torture suite is. `make torture` runs the long form of all of them, `make test` a short one.

A suite is a module with

    NAME = "kill -9 under 64 writers"
    CONTROL = "answers before the commit"     # how its broken variant is broken
    def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report

One seed is one round: everything that is random in it comes from `random.Random(seed)`, so that the round can be run
again by itself. `folder` is an empty folder that the suite may fill. With `broken` the same checks run over a variant
that breaks the promise on purpose: a suite that does not turn red then proves nothing. A suite whose rounds are quick
says `ROUNDS = 100`: one seed given to `make torture` then stands for a hundred of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """`faults` that were injected, answers that were `checked` against what the disk holds, and what did not hold.

    A violation names its seed and what was promised.
    """

    faults: int = 0
    checked: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.faults += other.faults
        self.checked += other.checked
        self.violations += other.violations
