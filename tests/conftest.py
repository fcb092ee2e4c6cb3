"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from tests.support.server import LocalServer, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A development server with one picture worker, on an empty data folder, with a manual clock."""
    async with running_server(tmp_path / "data") as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in captured output, because a process of pytest-xdist sends its reports as UTF-8."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
