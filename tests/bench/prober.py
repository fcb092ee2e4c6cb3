"""Send requests to a server at a steady pace: `python -m tests.bench.prober BASE MEMBERS_FILE RESULTS`.

A few dozen connections each send one request at a time, with a pause after it. They run in their own process and show
what a client with normal behaviour sees while the server is overloaded. The prober ends on SIGTERM; RESULTS then has a
JSON line for each request.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import re
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from tests.bench.calls import MeasuredCall

CONNECTIONS = {MeasuredCall.CREATE: 24, MeasuredCall.STATUS: 8, MeasuredCall.READ: 8}
INTERVAL_SECONDS = 0.05  # between two requests of a connection, if it has its response by then
TIMEOUT_SECONDS = 30
NO_RESPONSE = 0  # the status of a request without a response
NICENESS = -10  # the figures must show the server's delay, not the prober's own wait for a busy processor

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`started` is a moment of the monotonic clock, which all processes share; `seconds` ends at the last byte."""

    call: str
    started: float
    seconds: float
    status: int
    retry_after: bool


@dataclass(frozen=True, slots=True)
class ProbeMember:
    token: str
    picture_url: str
    task: str


class ProbeConnection:
    """A connection that is opened when it is needed, and opened again after it was lost."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> tuple[int, bool]:
        """The status of the response, or NO_RESPONSE, and whether the response has a Retry-After."""
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._exchange(request)
        self.close()
        return NO_RESPONSE, False

    async def _exchange(self, request: bytes) -> tuple[int, bool]:
        self._streams = self._streams or await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        return int(head[9:12]), b"\r\nretry-after:" in head.lower()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Prober:
    def __init__(self, base: str, members: list[ProbeMember]) -> None:
        url = urlsplit(base)
        self._host, self._port = url.hostname or "", url.port or 0
        self._members = members
        self._stopping = False
        self.results: list[ProbeResult] = []

    def stop(self) -> None:
        """Send no more requests. `run` still waits for open ones, so that the slowest responses are counted."""
        self._stopping = True

    async def run(self) -> None:
        """Send requests on all connections until `stop` is called."""
        calls = [call for call, count in CONNECTIONS.items() for _ in range(count)]
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, call in enumerate(calls):
                group.create_task(self._probe(number, call, start + INTERVAL_SECONDS * number / len(calls)))

    async def _probe(self, number: int, call: MeasuredCall, due: float) -> None:
        await asyncio.sleep(due - time.monotonic())
        connection = ProbeConnection(self._host, self._port)
        try:
            for count in itertools.count():
                if self._stopping:
                    break
                member = self._members[(number * 23 + count) % len(self._members)]
                request = _request(call, member, f"probe-{number}-{count}")
                started = time.monotonic()
                status, retry_after = await connection.send(request)
                now = time.monotonic()
                self.results.append(ProbeResult(call.value, started, now - started, status, retry_after))
                due = _next_due(due, now)
                await asyncio.sleep(due - now)
        finally:
            connection.close()


def _next_due(due: float, now: float) -> float:
    """The next moment of a connection's own schedule, also after a long wait.

    Otherwise connections whose responses came from one commit would stay synchronous and wait for each other.
    """
    return due + INTERVAL_SECONDS * max(1, math.ceil((now - due) / INTERVAL_SECONDS))


def _request(call: MeasuredCall, member: ProbeMember, key: str) -> bytes:
    headers = f"Host: 127.0.0.1\r\nAuthorization: Bearer {member.token}\r\n"
    if call is MeasuredCall.STATUS:
        return f"GET /api/membership/status HTTP/1.1\r\n{headers}\r\n".encode()
    if call is MeasuredCall.READ:
        return f"GET /api/task/{member.task} HTTP/1.1\r\n{headers}\r\n".encode()
    body = json.dumps({"type": "basic_clean", "inputImageUrl": member.picture_url})
    head = f"POST /api/task/create HTTP/1.1\r\n{headers}Content-Type: application/json\r\nIdempotency-Key: {key}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def read_results(file: Path) -> list[ProbeResult]:
    return [ProbeResult(**json.loads(line)) for line in file.read_text().splitlines()]


async def _run(base: str, members_file: Path, results_file: Path) -> None:
    prober = Prober(base, [ProbeMember(*line.split()) for line in members_file.read_text().splitlines()])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, prober.stop)
    await prober.run()
    results_file.write_text("".join(f"{json.dumps(asdict(result))}\n" for result in prober.results))


if __name__ == "__main__":
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    uvloop.run(_run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
