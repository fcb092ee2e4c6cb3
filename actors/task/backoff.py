"""How long to wait before a task is tried again."""

from __future__ import annotations

import random

FIRST_SECONDS = 5
MAX_SECONDS = 300
JITTER = 0.1  # so that tasks which broke off together are not tried again together

_random = random.Random()  # noqa: S311  # not for anything secret


def backoff(interruptions: int) -> int:
    """Return the milliseconds to wait after a number of interruptions: 5 s, 10 s, 20 s … 5 min, each within 10 %."""
    seconds = min(MAX_SECONDS, FIRST_SECONDS * (1 << min(interruptions - 1, 10)))
    return round(1000 * seconds * _random.uniform(1 - JITTER, 1 + JITTER))
