"""One worker process, as the server controls it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import cast

from server.gateways.pictures.protocol import READY, Job, JobResult, parse_result, serialize_job

START_SECONDS = 60.0
"""How long a worker may take to load its libraries, which is slow from a cold disk."""

_MAX_LINE_BYTES = 64 * 1024
_INHERITED_VARIABLES = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL")
_INHERITED_PREFIX = "_PYI_"  # with these a one-file binary finds the files that it has already unpacked
_SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class ProcessLost(Exception):
    """The process died or broke the protocol. `exit_status` is negative for a signal, None if unknown."""

    def __init__(self, exit_status: int | None) -> None:
        super().__init__(f"the picture process ended with status {exit_status}")
        self.exit_status = exit_status


class PictureProcess(asyncio.SubprocessProtocol):
    """Runs one job at a time. It is always stopped with SIGKILL, because it holds no state that could be lost."""

    def __init__(self) -> None:
        self.job_count = 0
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the process has been reaped and its pipes are closed."""
        self._transport: asyncio.SubprocessTransport | None = None
        self._received = bytearray()
        self._awaited_line: asyncio.Future[bytes] | None = None

    @classmethod
    async def spawn(cls, command: Sequence[str], memory_bytes: int) -> PictureProcess:
        """Start a process; it accepts jobs after `wait_until_ready` returned. Raises OSError."""
        _, process = await asyncio.get_running_loop().subprocess_exec(
            cls,
            *command,
            str(memory_bytes),
            stderr=None,  # inherit the server's stderr, where a worker that cannot start prints its error
            env=_worker_environment(),
            start_new_session=True,  # Ctrl-C in the terminal reaches only the server, which stops its workers itself
        )
        return process

    @property
    def pid(self) -> int:
        assert self._transport is not None, "a spawned process has its transport"
        return self._transport.get_pid()

    async def wait_until_ready(self) -> None:
        """Wait until the libraries are loaded. Raises ProcessLost, TimeoutError."""
        async with asyncio.timeout(START_SECONDS):
            if await self._next_line() != READY:
                raise ProcessLost(None)

    async def run_job(self, job: Job, seconds: float) -> JobResult:
        """Run `job` and return its result.

        Raises ProcessLost, TimeoutError. After either of them, or when cancelled, the caller must kill the process.
        """
        self.job_count += 1
        async with asyncio.timeout(seconds):
            line = await self._next_line(serialize_job(job))
        try:
            return parse_result(line)
        except (ValueError, KeyError, TypeError):
            raise ProcessLost(None) from None

    def kill(self) -> None:
        """Send SIGKILL; `exited` is done some time later."""
        assert self._transport is not None, "a spawned process has its transport"
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()

    async def _next_line(self, request: bytes = b"") -> bytes:
        """Write `request` to the process and return the next line that it writes. Raises ProcessLost."""
        assert self._transport is not None, "a spawned process has its transport"
        if self._transport.get_returncode() is not None:
            raise ProcessLost(self._transport.get_returncode())
        self._awaited_line = asyncio.get_running_loop().create_future()
        self._deliver_line()
        if request:
            cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0)).write(request)
        return await self._awaited_line

    def _deliver_line(self) -> None:
        """Complete the awaited line if a whole line has been received."""
        end = self._received.find(b"\n")
        if end >= 0 and self._awaited_line is not None and not self._awaited_line.done():
            self._awaited_line.set_result(bytes(self._received[:end]))
            del self._received[: end + 1]

    def _fail_awaited_line(self, exit_status: int | None) -> None:
        if self._awaited_line is not None and not self._awaited_line.done():
            self._awaited_line.set_exception(ProcessLost(exit_status))

    # --- callbacks of asyncio.SubprocessProtocol ------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._received += data
        self._deliver_line()
        if len(self._received) > _MAX_LINE_BYTES:
            self._received.clear()
            self._fail_awaited_line(None)
            self.kill()

    def process_exited(self) -> None:
        """Close our end of its stdin: the event loop calls `connection_lost` only when every pipe is closed."""
        assert self._transport is not None, "a spawned process has its transport"
        if (pipe := self._transport.get_pipe_transport(0)) is not None:
            pipe.close()

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None, "a spawned process has its transport"
        self._fail_awaited_line(self._transport.get_returncode())
        self._transport.close()
        if not self.exited.done():
            self.exited.set_result(None)


def _worker_environment() -> dict[str, str]:
    """Return the variables that a worker needs to start. They include none of the server's secrets."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED_VARIABLES or name.startswith(_INHERITED_PREFIX)
    }
    return inherited | _SINGLE_THREADED
