"""Run the darkroom command in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import aiohttp

from server.commands.serve import READY_LINE
from tests.support.server import HIGH_LIMITS, TIMEOUT_SECONDS

PROGRAM = ("server.commands.main",)  # the module to run, and the arguments before the command


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with these settings only: `TASKS__WORKERS="0"`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM__")}
    return inherited | {f"DARKROOM__{name}": value for name, value in settings.items()}


async def run_darkroom(*arguments: str, cwd: Path, **settings: str) -> tuple[int | None, str, str]:
    """Run a command and return its exit status, standard output and standard error."""
    process = await _start(PROGRAM, arguments, cwd, PIPE, settings)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), err.decode()


async def _start(
    program: Sequence[str], arguments: Sequence[str], cwd: Path, stderr: int | IO[bytes], settings: Mapping[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", *program, *arguments),
        cwd=cwd,
        env=environment(**settings) | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)},
        stdout=PIPE,
        stderr=stderr,
    )


class DidNotStart(AssertionError):
    """The server ended before it was ready, with this exit status."""

    def __init__(self, status: int | None, log: str) -> None:
        super().__init__(f"status {status}: {log}")
        self.status = status


@dataclass(slots=True)
class ServerProcess:
    base: str
    process: asyncio.subprocess.Process
    output: str = ""

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end and return the exit status. `output` is then everything that was printed."""
        with suppress(ProcessLookupError):  # the process may have ended by itself
            self.process.send_signal(number)
        output, _ = await self.process.communicate()
        self.output = output.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def server_process(data: Path, program: Sequence[str] = PROGRAM, **settings: str) -> AsyncIterator[ServerProcess]:
    """Run a server on a free port until it is ready; at the end, kill it if it still runs.

    It writes its log into a file beside the data folder, with the folder's name and the suffix `.log`.
    """
    limits = {f"AUTH__{name.upper()}": str(most) for name, most in HIGH_LIMITS.items()}
    defaults = {**limits, "TASKS__WORKERS": "1"}
    log = data.with_suffix(".log")
    with log.open("ab") as stderr:  # a file, because a full pipe that is not read would block the server
        serve = ("serve", "--data", str(data), "--port", "0")
        process = await _start(program, serve, data.parent, stderr, defaults | settings)
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        if not line.startswith(READY_LINE):
            await process.wait()
            raise DidNotStart(process.returncode, log.read_text())
        yield ServerProcess(line.removeprefix(READY_LINE).strip(), process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def http_client(connections: int = 256) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as http:
        yield http
