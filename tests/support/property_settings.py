"""How hard the property tests look: `PROPERTY_FACTOR=20 make test` tries twenty times as many examples."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("PROPERTY_FACTOR", "1"))


def examples(usual: int, steps: int = 50) -> settings:
    """So many examples, of so many steps where they have any. How fast the machine is says nothing about the code."""
    return settings(
        max_examples=usual * FACTOR,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
