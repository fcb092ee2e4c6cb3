"""Every random choice of a simulated run, drawn from its seed, and the list of its steps."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

WEIGHTS = (0, 0, 1, 1, 4)  # how often a kind of fault happens in a seed; some seeds leave it out to let others show


class Schedule:
    """`time` returns the virtual seconds. After `faults_stopped` is set, no more faults happen."""

    def __init__(self, seed: int, time: Callable[[], float]) -> None:
        self.random = Random(seed)
        self.faults_stopped = False
        self.faults = 0
        self.steps: list[str] = []
        self._time = time
        self._weights: dict[str, int] = {}

    def step(self, text: str) -> None:
        self.steps.append(f"{self._time():10.4f}  {text}")

    def fault(self, kind: str, probability: float) -> bool:
        """Return whether a fault of this kind happens now, and count it."""
        if self.faults_stopped:
            return False
        if kind not in self._weights:
            self._weights[kind] = self.random.choice(WEIGHTS)
        if self.random.random() >= probability * self._weights[kind]:
            return False
        self.faults += 1
        self.step(f"fault: {kind}")
        return True

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pause(self, usual: float) -> float:
        """Return a number of seconds, mostly below `usual` and sometimes up to ten times as many."""
        return self.random.random() * usual * (10 if self.chance(0.05) else 1)
