"""The default headers of every kind of response, as they are sent."""

from __future__ import annotations

import base64
import hashlib
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.http.app import ADMISSION_CONTROLS
from tests.support.raw_http import exchange, post, put, status, without_length
from tests.support.server import ApiUser, LocalServer, running_server
from tests.support.uploads import store_picture

DEFAULT_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
CREATE = "/api/task/create"
ADDRESSES = {"http": "", "https": "https://api.example.com"}


@dataclass(frozen=True, slots=True)
class Site:
    """A server that can give every kind of response; `default_headers` is expected in each."""

    server: LocalServer
    default_headers: dict[str, str]
    user: ApiUser
    picture: str
    upload_url: str
    cashier: str
    page: str

    async def head(self, request: bytes) -> tuple[int, list[tuple[str, str]]]:
        """Return the status of a response and its headers, with names in lower case."""
        response = await exchange(self.server, request, until=b"\r\n\r\n")
        lines = response.decode("latin-1").strip().split("\r\n")[1:]
        pairs = (line.partition(": ") for line in lines)
        return status(response), [(name.lower(), value) for name, _, value in pairs]


@pytest.fixture(params=ADDRESSES)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    default_headers = DEFAULT_HEADERS | (
        {"strict-transport-security": "max-age=31536000"} if request.param == "https" else {}
    )
    auth, address = {"phone_per_minute": 1}, {"public_url": ADDRESSES[request.param]}
    async with running_server(tmp_path, auth=auth, tasks={"workers": 0}, server=address) as server:
        yield await build_site(server, default_headers)


async def build_site(server: LocalServer, default_headers: dict[str, str]) -> Site:
    """Prepare a user with a login code, an upload and an order, on a server that rejects all creations."""
    user = await server.new_user()
    picture = (await store_picture(server, user)).removeprefix(server.base)
    upload_url = (await server.get("/api/media/sts?fileName=photo.png", user=user)).data["uploadUrl"]
    order = (await server.post("/api/membership/purchase", {"channel": "wx"}, user=user)).data["orderId"]
    cashier = f"/sandbox/cashier/{order}"
    page = (await server.get(cashier)).raw.decode()
    admission = server.app[ADMISSION_CONTROLS]["POST", CREATE]
    admission.in_flight = admission.limit
    return Site(server, default_headers, user, picture, upload_url.removeprefix(server.base), cashier, page)


def persistent(method: str, path: str, *headers: str, version: str = "1.1") -> bytes:
    """A request without a body, on a persistent connection."""
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: darkroom", *headers, "", ""]).encode("latin-1")


def all_kinds(site: Site) -> Iterator[tuple[str, bytes, int, dict[str, str]]]:
    """Yield for each kind of response its name, a request, its status, and the headers that differ from the default."""
    bearer = f"Authorization: Bearer {site.user.token}"
    yield "JSON", persistent("GET", "/health"), 200, {}
    yield "JSON for a user", persistent("GET", "/api/quota", bearer), 200, {}
    yield "JSON on a connection that is closed", without_length("GET", "/health"), 200, {"connection": "close"}
    yield "JSON through the router of aiohttp", persistent("GET", "/api/membership/%70lans"), 200, {}
    yield "HEAD", persistent("HEAD", "/health"), 200, {}
    yield "HTTP/1.0", persistent("GET", "/health", version="1.0"), 200, {}
    yield "HTTP/1.0 with keep-alive", persistent("GET", "/health", "Connection: keep-alive", version="1.0"), 200, {}
    yield from refusals(site)
    yield from preflights()
    yield "metrics", persistent("GET", "/metrics"), 200, {}
    for method in ("GET", "HEAD"):
        yield "a picture", persistent(method, site.picture), 200, {"cache-control": "private, max-age=600"}
        yield "the cashier", persistent(method, site.cashier), 200, {"content-security-policy": policy_of(site.page)}
    yield "a redirect", persistent("POST", site.cashier, "Content-Length: 0"), 303, {"location": site.cashier}


def refusals(site: Site) -> Iterator[tuple[str, bytes, int, dict[str, str]]]:
    code = f'{{"phone": "{site.user.phone}"}}'.encode()
    yield "a bad parameter", persistent("GET", "/sandbox/sms?phone=1"), 400, {}
    yield "no token", persistent("GET", "/api/quota"), 401, {}
    yield "an altered address", persistent("GET", f"{site.picture}x"), 403, {}
    yield "unknown path", persistent("GET", "/none"), 404, {}
    yield "unknown path, HEAD", persistent("HEAD", "/none"), 404, {}
    yield "wrong method", persistent("POST", "/health"), 405, {}
    yield "too large", post("/api/auth/login", b"", length=10**10), 413, {}
    yield "not a picture", put(site.upload_url, b"not a picture", "Content-Type: image/png"), 415, {}
    yield "unsupported Expect header", persistent("GET", "/health", "Expect: a-pony"), 417, {}
    yield "too many codes", post("/api/auth/send-code", code), 429, {}
    yield "early rejection", persistent("POST", CREATE, "Content-Length: 2") + b"{}", 503, {"retry-after": "1"}
    yield "not HTTP", b"\x16\x03\x01\r\n\r\n", 400, {}
    yield "header too long", without_length("GET", "/", "X: " + "y" * 9000), 400, {}


def preflights() -> Iterator[tuple[str, bytes, int, dict[str, str]]]:
    question = ("Origin: https://shop.example", "Access-Control-Request-Method: POST")
    for version in ("1.1", "1.0"):
        yield "a preflight", persistent("OPTIONS", CREATE, *question, version=version), 204, {}
    yield "a preflight for an unknown path", persistent("OPTIONS", "/none", *question), 204, {}
    yield "not a preflight", persistent("OPTIONS", CREATE), 405, {}


def policy_of(page: str) -> str:
    style = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    rest = "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    return f"default-src 'none'; style-src 'sha256-{digest}'; {rest}"


def violations(headers: list[tuple[str, str]], expected: dict[str, str]) -> list[object]:
    """Return what is wrong: headers that are missing, different, duplicate or forbidden."""
    names = [name for name, _ in headers]
    forbidden = [name for name in ("server", "x-powered-by", "set-cookie") if name in names]
    unexpected_hsts = [name for name in ("strict-transport-security",) if name in names and name not in expected]
    different = [(name, value) for name, value in expected.items() if [v for n, v in headers if n == name] != [value]]
    duplicates = [name for name in set(names) if names.count(name) > 1]
    missing_request_id = [] if "x-request-id" in names else ["no request id"]
    return [*forbidden, *unexpected_hsts, *different, *duplicates, *missing_request_id]


async def test_every_kind_of_response_has_the_default_headers_once_and_names_no_software(site: Site) -> None:
    violations_by_kind = {}
    for kind, request, expected, others in all_kinds(site):
        actual, headers = await site.head(request)
        assert actual == expected, kind
        if found_violations := violations(headers, site.default_headers | others):
            violations_by_kind[kind] = found_violations
    assert violations_by_kind == {}


async def test_an_unexpected_error_has_the_default_headers(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with sqlite3.connect(site.server.data / "darkroom.sqlite3") as connection:
        connection.execute("ALTER TABLE users RENAME TO lost")
    connection.close()
    bearer = f"Authorization: Bearer {site.user.token}"
    for request in (persistent("GET", "/api/auth/me", bearer), persistent("HEAD", "/api/auth/me", bearer)):
        actual, headers = await site.head(request)
        assert (actual, violations(headers, site.default_headers)) == (500, [])
    caplog.clear()


async def test_the_error_response_of_aiohttp_itself_has_the_default_headers(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("counting fails")

    monkeypatch.setattr("server.http.app.count_request", fail)
    actual, headers = await site.head(persistent("GET", "/health"))
    assert (actual, violations(headers, site.default_headers)) == (500, ["no request id"])
    caplog.clear()


async def test_a_100_continue_response_has_no_headers(site: Site) -> None:
    response = await exchange(site.server, post("/api/auth/login", b"{}", "Expect: 100-continue"))
    first, _, second = response.partition(b"\r\n\r\n")
    assert first == b"HTTP/1.1 100 Continue"
    assert second.startswith(b"HTTP/1.1 400 Bad Request") and b"\r\nServer:" not in second


async def test_each_pipelined_response_has_the_default_headers_once(site: Site) -> None:
    responses = await exchange(site.server, persistent("GET", "/health") * 3 + without_length("GET", "/health"))
    for name, value in site.default_headers.items():
        assert responses.lower().count(f"\r\n{name}: {value}\r\n".lower().encode()) == 4, name


async def test_the_cashier_page_follows_its_own_content_security_policy(site: Site) -> None:
    """The page has no script, no other style sheet, no external resource, and its button posts to the page itself."""
    assert not re.search(r"<script|<link|<img|<iframe|<base|\bstyle=|\bon[a-z]+=|\burl\(|@import|action=", site.page)
    assert '<form method="post"' in site.page
