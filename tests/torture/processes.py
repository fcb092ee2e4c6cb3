"""Start the server of the torture suites in a process of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.process import ServerProcess, server_process
from tests.support.server import SECRETS

LARGE_PLAN = [{"id": "large", "name": "Large", "price": 1, "quota": 100_000, "days": 30}]
WITH_LARGE_PLAN = {"MEMBERSHIP__PLANS": json.dumps(LARGE_PLAN)}
_SETTINGS = {"TASKS__WORKERS": "0", "SECRETS__MEDIA": SECRETS["media"], "SECRETS__INTERNAL": SECRETS["internal"]}


@asynccontextmanager
async def torture_server(data: Path, mutant: str | None, **settings: str) -> AsyncIterator[ServerProcess]:
    """Run tests/torture/server.py, as the named mutant if there is a name. At the end it is killed if it still runs."""
    async with changed_server(data, () if mutant is None else ("--mutant", mutant), **settings) as server:
        yield server


@asynccontextmanager
async def changed_server(data: Path, options: Sequence[str], **settings: str) -> AsyncIterator[ServerProcess]:
    """Run tests/torture/server.py with its options. At the end it is killed if it still runs."""
    async with server_process(data, ("tests.torture.server", *options), **_SETTINGS | settings) as server:
        yield server
