from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.actors.task.environment import Environment, environment


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[Environment]:
    """One worker in this process, whose work waits for the gate."""
    async with environment(tmp_path, workers=1) as env:
        yield env


@pytest.fixture
async def env_without_workers(tmp_path: Path) -> AsyncIterator[Environment]:
    """No worker in this process."""
    async with environment(tmp_path, workers=0) as env:
        yield env
