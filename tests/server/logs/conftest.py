"""A captured log in either mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.logs.captured_log import (
    CapturedLog,
    capture_log,
)


@pytest.fixture(params=[True, False], ids=["production", "development"])
def log(request: pytest.FixtureRequest) -> Iterator[CapturedLog]:
    yield from capture_log(request.param)


@pytest.fixture
def production() -> Iterator[CapturedLog]:
    yield from capture_log(True)


@pytest.fixture
def development() -> Iterator[CapturedLog]:
    yield from capture_log(False)
