"""A log in either mode, for as long as a test runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.logs.written import (
    Log,
    written,
)


@pytest.fixture(params=[True, False], ids=["production", "development"])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    yield from written(request.param)


@pytest.fixture
def production() -> Iterator[Log]:
    yield from written(True)


@pytest.fixture
def development() -> Iterator[Log]:
    yield from written(False)
