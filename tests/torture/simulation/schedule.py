"""What a seed decides: every choice of a simulated run comes from here, and every step is written down."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

WEIGHTS = (0, 0, 1, 1, 4)  # how much of a kind of fault one seed has; runs without it let others show


class Script:
    """`time` gives the virtual seconds. Once `calm`, no more faults happen."""

    def __init__(self, seed: int, time: Callable[[], float]) -> None:
        self.random = Random(seed)
        self.calm = False
        self.faults = 0
        self.steps: list[str] = []
        self._time = time
        self._weights: dict[str, int] = {}

    def step(self, text: str) -> None:
        self.steps.append(f"{self._time():10.4f}  {text}")

    def fault(self, kind: str, probability: float) -> bool:
        """Whether a fault of this kind happens now; counted when it does."""
        if self.calm:
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
        """Seconds, mostly below `usual`, now and then ten times as long."""
        return self.random.random() * usual * (10 if self.chance(0.05) else 1)
