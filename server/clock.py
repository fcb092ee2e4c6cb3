"""The clock of the machine."""

from __future__ import annotations

import time


class SystemClock:
    """The Clock port over the machine's wall clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000
