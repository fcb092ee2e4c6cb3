"""What every test may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.server import Edge, running


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    """A development server with one picture worker, on an empty data folder and a clock that stands still."""
    async with running(tmp_path / "data") as edge:
        yield edge
