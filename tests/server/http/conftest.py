"""Fixtures of the tests of single API calls."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.server import LocalServer, running_server

__all__ = ["no_fault", "server"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A development server without workers, which accepts tasks but does not run them, on an empty data folder."""
    async with running_server(tmp_path / "data", tasks={"workers": 0}) as server:
        yield server


@pytest.fixture(autouse=True)
def no_fault(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test if the server logged an error: every request must be answered or refused."""
    yield
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors if record.name in ("darkroom.http", "asyncio")] == []
