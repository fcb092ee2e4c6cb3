"""JSON responses, byte for byte, as clients of every kind receive them."""

from __future__ import annotations

import email.parser

import pytest

from tests.support.raw_http import exchange
from tests.support.server import LocalServer

PLANS = "/api/membership/plans"


def parse(response: bytes) -> tuple[str, dict[str, str], bytes]:
    """Return the status line, the headers by lower-case name, and the body."""
    head, _, body = response.partition(b"\r\n\r\n")
    line, _, rest = head.decode().partition("\r\n")
    headers = email.parser.HeaderParser().parsestr(rest)
    assert len(headers) == len({name.lower() for name in headers}), "every header appears once"
    return line, {name.lower(): value for name, value in headers.items()}, body


async def test_pipelined_requests_are_answered_in_order(server: LocalServer) -> None:
    one = f"GET {PLANS} HTTP/1.1\r\nHost: darkroom\r\n\r\n".encode()
    last = f"GET {PLANS} HTTP/1.1\r\nHost: darkroom\r\nConnection: close\r\n\r\n".encode()
    responses = await exchange(server, one + one + last)
    first, second, third = (b"HTTP/1.1 " + part for part in responses.split(b"HTTP/1.1 ")[1:])
    bodies = [parse(response)[2] for response in (first, second, third)]
    assert bodies[0] == bodies[1] == bodies[2] and b'"success":true' in bodies[0]
    line, headers, body = parse(first)
    assert line == "HTTP/1.1 200 OK" and "connection" not in headers
    assert headers["content-length"] == str(len(body))
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff" and headers["x-request-id"] and headers["date"]
    assert parse(third)[1]["connection"] == "close"


@pytest.mark.parametrize(
    ("version", "connection", "expected"), [("1.0", "keep-alive", "keep-alive"), ("1.0", "close", None)]
)
async def test_an_http_1_0_client_is_told_whether_the_connection_stays_open(
    server: LocalServer, version: str, connection: str, expected: str | None
) -> None:
    request = f"GET {PLANS} HTTP/{version}\r\nHost: darkroom\r\nConnection: {connection}\r\n\r\n".encode()
    line, headers, body = parse(await exchange(server, request, until=b"]}"))
    assert line == f"HTTP/{version} 200 OK" and headers.get("connection") == expected
    assert body.startswith(b'{"success":true')


async def test_head_gets_the_headers_of_get_without_the_body(server: LocalServer) -> None:
    full = await exchange(server, f"GET {PLANS} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
    request = f"HEAD {PLANS} HTTP/1.1\r\nHost: d\r\n\r\nGET {PLANS} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
    line, headers, rest = parse(await exchange(server, request.encode()))
    assert line == "HTTP/1.1 200 OK" and rest.startswith(b"HTTP/1.1 200 OK\r\n"), (
        "the next response follows without a body"
    )
    assert headers["content-length"] == parse(full)[1]["content-length"]


async def test_an_encoded_path_is_matched_as_aiohttp_does(server: LocalServer) -> None:
    """The fast lookup takes only the exact path. An encoded slash is not a slash."""
    assert (await server.get(PLANS)).status == 200
    for path, status in (("/api%2Fmembership/plans", 404), ("/api/membership/%70lans", 200), (f"{PLANS}/", 404)):
        request = f"GET {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode()
        assert parse(await exchange(server, request))[0].split()[1] == str(status), path
    assert (await server.post(PLANS)).status == 405


async def test_a_malformed_request_closes_the_connection(server: LocalServer) -> None:
    line, headers, _ = parse(await exchange(server, b"GET / HTTP/1.1\r\nHost: d\r\nbroken header\r\n\r\n"))
    assert line.split()[1] == "400" and headers.get("connection") != "keep-alive"
