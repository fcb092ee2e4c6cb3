"""Fixtures: a pool of real processes that the tests of a module share, and the sample photo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from server.commands.sample_photo import draw_sample
from server.gateways.pictures.pool import PictureProcesses


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pictures() -> AsyncIterator[PictureProcesses]:
    processes = PictureProcesses(1)
    await processes.start()
    yield processes
    await processes.stop()


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.jpg"
    draw_sample(path)
    return path
