"""One worker process, seen from the server's side."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import cast

from server.gateways.pictures.protocol import READY, Admit, Answer, Clean, job_line, read_answer

START_SECONDS = 60.0
"""Loading the libraries takes a quarter of a second, and much longer from a cold disk."""

_LONGEST_LINE = 64 * 1024
_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL")
_KEPT_PREFIX = "_PYI_"  # how a one-file binary finds what it has unpacked already
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class ProcessLost(Exception):
    """The process died, or said what no worker says. `status` is its exit status, negative for a signal."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"the picture process ended with status {status}")
        self.status = status


class PictureProcess(asyncio.SubprocessProtocol):
    """Carries out one job at a time. It is killed, not asked to stop: it keeps nothing that could be lost."""

    def __init__(self) -> None:
        self.jobs = 0
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the process has been reaped and its pipes are closed."""
        self._transport: asyncio.SubprocessTransport | None = None
        self._said = bytearray()
        self._line: asyncio.Future[bytes] | None = None

    @classmethod
    async def spawn(cls, command: Sequence[str], memory_bytes: int) -> PictureProcess:
        """A new process, which may take jobs once `ready` returned. Raises OSError."""
        _, process = await asyncio.get_running_loop().subprocess_exec(
            cls,
            *command,
            str(memory_bytes),
            stderr=None,  # the server's: it is where a worker that cannot start says why
            env=_environment(),
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's to act on
        )
        return process

    @property
    def pid(self) -> int:
        assert self._transport is not None, "a spawned process has its transport"
        return self._transport.get_pid()

    async def ready(self) -> None:
        """Wait for the libraries to load. Raises ProcessLost, TimeoutError."""
        async with asyncio.timeout(START_SECONDS):
            if await self._next_line() != READY:
                raise ProcessLost(None)

    async def carry_out(self, job: Admit | Clean, seconds: float) -> Answer:
        """The answer to `job`. Raises ProcessLost, TimeoutError; after these, or cancelled, kill the process."""
        self.jobs += 1
        async with asyncio.timeout(seconds):
            line = await self._next_line(job_line(job))
        try:
            return read_answer(line)
        except (ValueError, KeyError, TypeError):
            raise ProcessLost(None) from None

    def kill(self) -> None:
        """SIGKILL; `gone` follows."""
        assert self._transport is not None, "a spawned process has its transport"
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()

    async def _next_line(self, said: bytes = b"") -> bytes:
        assert self._transport is not None, "a spawned process has its transport"
        if self._transport.get_returncode() is not None:
            raise ProcessLost(self._transport.get_returncode())
        self._line = asyncio.get_running_loop().create_future()
        self._hand_over()
        if said:
            cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0)).write(said)
        return await self._line

    def _hand_over(self) -> None:
        end = self._said.find(b"\n")
        if end >= 0 and self._line is not None and not self._line.done():
            self._line.set_result(bytes(self._said[:end]))
            del self._said[: end + 1]

    def _lose(self, status: int | None) -> None:
        if self._line is not None and not self._line.done():
            self._line.set_exception(ProcessLost(status))

    # --- what the event loop calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._said += data
        self._hand_over()
        if len(self._said) > _LONGEST_LINE:
            self._said.clear()
            self._lose(None)
            self.kill()

    def process_exited(self) -> None:
        """Close our end of its stdin: the loop calls the connection lost once every pipe is closed."""
        assert self._transport is not None, "a spawned process has its transport"
        if (pipe := self._transport.get_pipe_transport(0)) is not None:
            pipe.close()

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None, "a spawned process has its transport"
        self._lose(self._transport.get_returncode())
        self._transport.close()
        if not self.gone.done():
            self.gone.set_result(None)


def _environment() -> dict[str, str]:
    """What a process needs to start, and none of the server's secrets."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIX)}
    return kept | _ONE_THREAD
