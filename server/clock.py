"""The time."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's wall clock, as the Clock port."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000
