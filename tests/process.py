"""A real `darkroom serve` in a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from server.serve import READY


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with the given settings and no others: `TASKS__WORKERS="0"`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM__")}
    return inherited | {f"DARKROOM__{name}": value for name, value in settings.items()}


async def darkroom(*arguments: str, cwd: Path, **settings: str) -> asyncio.subprocess.Process:
    """Start the command; its output is for reading."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "server.cli", *arguments),
        cwd=cwd,
        env=environment(**settings) | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@dataclass(slots=True)
class Server:
    base: str
    process: asyncio.subprocess.Process

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def serving(data: Path, **settings: str) -> AsyncIterator[Server]:
    """A ready server on a free port; killed at the end if it still runs."""
    generous = {"AUTH__ADDRESS_PER_HOUR": "1000000", "TASKS__WORKERS": "1"}
    process = await darkroom("serve", "--data", str(data), "--port", "0", cwd=data.parent, **{**generous, **settings})
    assert process.stdout is not None and process.stderr is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith(READY), (await process.stderr.read()).decode()
        yield Server(line.removeprefix(READY).strip(), process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def browsing() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as http:
        yield http
