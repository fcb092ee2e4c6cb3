"""What the tests of single calls share."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.server import LocalServer, running_server

__all__ = ["no_fault", "server"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A development server that accepts tasks and leaves them alone, on an empty data folder."""
    async with running_server(tmp_path / "data", tasks={"workers": 0}) as server:
        yield server


@pytest.fixture(autouse=True)
def no_fault(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client sends is answered or refused: a logged fault is a defect, also where a test did not look."""
    yield
    faults = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in faults if record.name in ("darkroom.http", "asyncio")] == []
