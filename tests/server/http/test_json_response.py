"""Answers that are sent in one piece, byte for byte as clients of every kind get them."""

from __future__ import annotations

import email.parser

import pytest

from tests.support.raw_http import exchange
from tests.support.server import LocalServer

PLANS = "/api/membership/plans"


def parted(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers by lower-case name, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, _, rest = head.decode().partition("\r\n")
    headers = email.parser.HeaderParser().parsestr(rest)
    assert len(headers) == len({name.lower() for name in headers}), "no header comes twice"
    return line, {name.lower(): value for name, value in headers.items()}, body


async def test_requests_sent_at_once_are_answered_one_after_the_other_on_one_connection(server: LocalServer) -> None:
    one = f"GET {PLANS} HTTP/1.1\r\nHost: darkroom\r\n\r\n".encode()
    last = f"GET {PLANS} HTTP/1.1\r\nHost: darkroom\r\nConnection: close\r\n\r\n".encode()
    answers = await exchange(server, one + one + last)
    first, second, third = (b"HTTP/1.1 " + part for part in answers.split(b"HTTP/1.1 ")[1:])
    bodies = [parted(answer)[2] for answer in (first, second, third)]
    assert bodies[0] == bodies[1] == bodies[2] and b'"success":true' in bodies[0]
    line, headers, body = parted(first)
    assert line == "HTTP/1.1 200 OK" and "connection" not in headers
    assert headers["content-length"] == str(len(body))
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff" and headers["x-request-id"] and headers["date"]
    assert parted(third)[1]["connection"] == "close"


@pytest.mark.parametrize(("version", "ask", "told"), [("1.0", "keep-alive", "keep-alive"), ("1.0", "close", None)])
async def test_old_clients_are_told_whether_the_connection_goes_on(
    server: LocalServer, version: str, ask: str, told: str | None
) -> None:
    request = f"GET {PLANS} HTTP/{version}\r\nHost: darkroom\r\nConnection: {ask}\r\n\r\n".encode()
    line, headers, body = parted(await exchange(server, request, until=b"]}"))
    assert line == f"HTTP/{version} 200 OK" and headers.get("connection") == told
    assert body.startswith(b'{"success":true')


async def test_head_gets_the_headers_alone(server: LocalServer) -> None:
    full = await exchange(server, f"GET {PLANS} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
    asked = f"HEAD {PLANS} HTTP/1.1\r\nHost: d\r\n\r\nGET {PLANS} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
    line, headers, rest = parted(await exchange(server, asked.encode()))
    assert line == "HTTP/1.1 200 OK" and rest.startswith(b"HTTP/1.1 200 OK\r\n"), "no body before the next answer"
    assert headers["content-length"] == parted(full)[1]["content-length"]


async def test_only_the_path_as_it_is_written_takes_the_short_way(server: LocalServer) -> None:
    """A path that is written otherwise is aiohttp's to judge: a quoted slash is no slash."""
    assert (await server.get(PLANS)).status == 200
    for path, status in (("/api%2Fmembership/plans", 404), ("/api/membership/%70lans", 200), (f"{PLANS}/", 404)):
        request = f"GET {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode()
        assert parted(await exchange(server, request))[0].split()[1] == str(status), path
    assert (await server.post(PLANS)).status == 405


async def test_a_refusal_of_half_a_request_ends_the_connection(server: LocalServer) -> None:
    line, headers, _ = parted(await exchange(server, b"GET / HTTP/1.1\r\nHost: d\r\nbroken header\r\n\r\n"))
    assert line.split()[1] == "400" and headers.get("connection") != "keep-alive"
