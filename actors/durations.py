"""Times in milliseconds, as everything that is kept has them, and in the seconds that people are told."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def seconds_to_wait(milliseconds: int) -> int:
    """Whole seconds, for Retry-After: never too few."""
    return max(1, -(-milliseconds // 1000))
