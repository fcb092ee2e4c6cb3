"""Requests as raw bytes, which no client library would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.server import LocalServer

TIMEOUT_SECONDS = 20  # only so that a server that never answers fails the test


async def exchange(server: LocalServer, request: bytes, *, half_close: bool = False, until: bytes = b"") -> bytes:
    """Send bytes and read up to `until`, or until the server closes the connection.

    With `half_close` the sending side of the connection is closed after the request.
    """
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await reader.readuntil(until) if until else await reader.read()
    finally:
        writer.close()


@asynccontextmanager
async def started_request(
    server: LocalServer, request: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a request head and wait for 100 Continue. The body has not been sent yet."""
    host, port = server.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await reader.readuntil(b"100 Continue\r\n\r\n")
        yield reader, writer
    finally:
        writer.close()


def post(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A POST that closes the connection. `length` is its Content-Length, by default the right one."""
    return _request("POST", path, body, len(body) if length is None else length, headers)


def put(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    return _request("PUT", path, body, len(body) if length is None else length, headers)


def without_length(method: str, path: str, *headers: str) -> bytes:
    """A request without a Content-Length, which closes the connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: darkroom", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def _request(method: str, path: str, body: bytes, length: int, headers: tuple[str, ...]) -> bytes:
    return without_length(method, path, f"Content-Length: {length}", *headers) + body
