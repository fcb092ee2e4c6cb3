"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.server import LocalServer, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A development server with one picture worker, on an empty data folder, with a manual clock."""
    async with running_server(tmp_path / "data") as server:
        yield server
