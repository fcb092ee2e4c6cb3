"""The number of examples in property tests: `PROPERTY_FACTOR=20 make test` tries twenty times as many."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("PROPERTY_FACTOR", "1"))


def examples(count: int, steps: int = 50) -> settings:
    """Return settings for `count` examples, of at most `steps` steps in stateful tests. Slow examples do not fail."""
    return settings(
        max_examples=count * FACTOR,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
