"""Durations in milliseconds, as they are stored, and in seconds, as users see them."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def seconds_to_wait(milliseconds: int) -> int:
    """Round up to whole seconds, for Retry-After; at least one."""
    return max(1, -(-milliseconds // 1000))
