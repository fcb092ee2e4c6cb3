"""Ask a server steadily, whatever else it has to do: `python -m tests.bench.prober BASE PEOPLE OUT`.

A few dozen connections, each with one request at a time and a pause between them, in a process of their own: what a
patient client sees while others storm the server. Ends on SIGTERM; OUT then has a JSON line for each answer.
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

from tests.bench.calls import Call

CONNECTIONS = {Call.CREATE: 24, Call.STATUS: 8, Call.READ: 8}
PAUSE = 0.05  # seconds between the moments at which a connection asks, if it has its answer by then
PATIENCE = 30
BROKEN = 0  # the status of a request that was never answered
URGENCY = -10  # nice: what the prober waits for should be the server, not its own turn on a busy processor

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """`begun` by the machine's monotonic clock, which all processes share; `seconds` until the last byte."""

    call: str
    begun: float
    seconds: float
    status: int
    retry_after: bool


@dataclass(frozen=True, slots=True)
class Person:
    token: str
    picture_url: str
    task: str


class Line:
    """A connection that is made when it is needed, and made again when it broke."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bool]:
        """The status of the answer, and whether it has a Retry-After; BROKEN without an answer."""
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                return await self._exchange(request)
        self.close()
        return BROKEN, False

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
    """`turns`: how often each connection asks; by default until `stop`."""

    def __init__(self, base: str, people: list[Person], turns: int | None = None) -> None:
        where = urlsplit(base)
        self._host, self._port = where.hostname or "", where.port or 0
        self._people, self._turns = people, turns
        self._stopping = False
        self.answers: list[Answer] = []

    def stop(self) -> None:
        """Ask no more. What has been asked is waited for: the slowest answers must not be those left out."""
        self._stopping = True

    async def run(self) -> None:
        places = [call for call, count in CONNECTIONS.items() for _ in range(count)]
        begin = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, call in enumerate(places):
                group.create_task(self._keep_asking(number, call, begin + PAUSE * number / len(places)))

    async def _keep_asking(self, number: int, call: Call, due: float) -> None:
        await asyncio.sleep(due - time.monotonic())
        line = Line(self._host, self._port)
        try:
            for turn in itertools.count() if self._turns is None else range(self._turns):
                if self._stopping:
                    break
                person = self._people[(number * 23 + turn) % len(self._people)]
                request = _request(call, person, f"probe-{number}-{turn}")
                begun = time.monotonic()
                status, retry_after = await line.ask(request)
                now = time.monotonic()
                self.answers.append(Answer(call.value, begun, now - begun, status, retry_after))
                due = next_moment(due, now)
                await asyncio.sleep(due - now)
        finally:
            line.close()


def next_moment(due: float, now: float) -> float:
    """When a connection that was due to ask then asks again: at moments of its own, also after a long wait.

    Those whom one commit answers would otherwise go on asking in step, and wait for each other.
    """
    return due + PAUSE * max(1, math.ceil((now - due) / PAUSE))


def read_people(file: Path) -> list[Person]:
    return [Person(*line.split()) for line in file.read_text().splitlines()]


def _request(call: Call, person: Person, key: str) -> bytes:
    who = f"Host: 127.0.0.1\r\nAuthorization: Bearer {person.token}\r\n"
    if call is Call.STATUS:
        return f"GET /api/membership/status HTTP/1.1\r\n{who}\r\n".encode()
    if call is Call.READ:
        return f"GET /api/task/{person.task} HTTP/1.1\r\n{who}\r\n".encode()
    body = json.dumps({"type": "basic_clean", "inputImageUrl": person.picture_url})
    head = f"POST /api/task/create HTTP/1.1\r\n{who}Content-Type: application/json\r\nIdempotency-Key: {key}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def read_answers(file: Path) -> list[Answer]:
    return [Answer(**json.loads(line)) for line in file.read_text().splitlines()]


async def _probe(base: str, people: Path, out: Path) -> None:
    prober = Prober(base, read_people(people))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, prober.stop)
    await prober.run()
    out.write_text("".join(f"{json.dumps(asdict(answer))}\n" for answer in prober.answers))


if __name__ == "__main__":
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, URGENCY)
    uvloop.run(_probe(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
