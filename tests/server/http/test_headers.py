"""The headers that every kind of answer has, as they go over the wire."""

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
from tests.support.account_state import store_picture
from tests.support.raw_http import bare, exchange, post, put, status
from tests.support.server import LocalServer, User, running_server

STANDING = {
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
    """A server on which every kind of answer can be had; `standing` is what it has to say on each."""

    server: LocalServer
    standing: dict[str, str]
    person: User
    picture: str
    place: str
    cashier: str
    page: str

    async def head(self, request: bytes) -> tuple[int, list[tuple[str, str]]]:
        """The status of an answer and its headers, names in lower case."""
        answer = await exchange(self.server, request, until=b"\r\n\r\n")
        lines = answer.decode("latin-1").strip().split("\r\n")[1:]
        pairs = (line.partition(": ") for line in lines)
        return status(answer), [(name.lower(), value) for name, _, value in pairs]


@pytest.fixture(params=ADDRESSES)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    standing = STANDING | ({"strict-transport-security": "max-age=31536000"} if request.param == "https" else {})
    auth, address = {"phone_per_minute": 1}, {"public_url": ADDRESSES[request.param]}
    async with running_server(tmp_path, auth=auth, tasks={"workers": 0}, server=address) as server:
        yield await built(server, standing)


async def built(server: LocalServer, standing: dict[str, str]) -> Site:
    """Somebody who has just had a login code, uploaded and ordered, where no more tasks are taken."""
    person = await server.new_user()
    picture = (await store_picture(server, person)).removeprefix(server.base)
    place = (await server.get("/api/media/sts?fileName=photo.png", user=person)).data["uploadUrl"]
    order = (await server.post("/api/membership/purchase", {"channel": "wx"}, user=person)).data["orderId"]
    cashier = f"/sandbox/cashier/{order}"
    page = (await server.get(cashier)).raw.decode()
    admission = server.app[ADMISSION_CONTROLS]["POST", CREATE]
    admission.in_flight = admission.limit
    return Site(server, standing, person, picture, place.removeprefix(server.base), cashier, page)


def lasting(method: str, path: str, *headers: str, version: str = "1.1") -> bytes:
    """A request without a body, on a connection that goes on."""
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: darkroom", *headers, "", ""]).encode("latin-1")


def kinds(site: Site) -> Iterator[tuple[str, bytes, int, dict[str, str]]]:
    """Each kind of answer: a request, the status, and the headers that are others than everywhere."""
    bearer = f"Authorization: Bearer {site.person.token}"
    yield "JSON", lasting("GET", "/health"), 200, {}
    yield "JSON for a person", lasting("GET", "/api/quota", bearer), 200, {}
    yield "JSON on a connection that ends", bare("GET", "/health"), 200, {"connection": "close"}
    yield "JSON by way of aiohttp", lasting("GET", "/api/membership/%70lans"), 200, {}
    yield "HEAD", lasting("HEAD", "/health"), 200, {}
    yield "HTTP/1.0", lasting("GET", "/health", version="1.0"), 200, {}
    yield "HTTP/1.0 that goes on", lasting("GET", "/health", "Connection: keep-alive", version="1.0"), 200, {}
    yield from refusals(site)
    yield from preflights()
    yield "metrics", lasting("GET", "/metrics"), 200, {}
    for method in ("GET", "HEAD"):
        yield "a picture", lasting(method, site.picture), 200, {"cache-control": "private, max-age=600"}
        yield "the cashier", lasting(method, site.cashier), 200, {"content-security-policy": policy_of(site.page)}
    yield "a redirect", lasting("POST", site.cashier, "Content-Length: 0"), 303, {"location": site.cashier}


def refusals(site: Site) -> Iterator[tuple[str, bytes, int, dict[str, str]]]:
    code = f'{{"phone": "{site.person.phone}"}}'.encode()
    yield "a bad parameter", lasting("GET", "/sandbox/sms?phone=1"), 400, {}
    yield "no token", lasting("GET", "/api/quota"), 401, {}
    yield "an altered address", lasting("GET", f"{site.picture}x"), 403, {}
    yield "no such path", lasting("GET", "/none"), 404, {}
    yield "no such path, HEAD", lasting("HEAD", "/none"), 404, {}
    yield "the wrong method", lasting("POST", "/health"), 405, {}
    yield "too large", post("/api/auth/login", b"", length=10**10), 413, {}
    yield "no picture", put(site.place, b"no picture", "Content-Type: image/png"), 415, {}
    yield "an expectation", lasting("GET", "/health", "Expect: a-pony"), 417, {}
    yield "too many codes", post("/api/auth/send-code", code), 429, {}
    yield "turned away", lasting("POST", CREATE, "Content-Length: 2") + b"{}", 503, {"retry-after": "1"}
    yield "no HTTP", b"\x16\x03\x01\r\n\r\n", 400, {}
    yield "a header too long", bare("GET", "/", "X: " + "y" * 9000), 400, {}


def preflights() -> Iterator[tuple[str, bytes, int, dict[str, str]]]:
    question = ("Origin: https://shop.example", "Access-Control-Request-Method: POST")
    for version in ("1.1", "1.0"):
        yield "a preflight", lasting("OPTIONS", CREATE, *question, version=version), 204, {}
    yield "a preflight for nothing", lasting("OPTIONS", "/none", *question), 204, {}
    yield "no preflight", lasting("OPTIONS", CREATE), 405, {}


def policy_of(page: str) -> str:
    style = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    rest = "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    return f"default-src 'none'; style-src 'sha256-{digest}'; {rest}"


def wrong(headers: list[tuple[str, str]], expected: dict[str, str]) -> list[object]:
    """What differs: a header that is missing, has another value or comes twice, or is none of ours to tell."""
    names = [name for name, _ in headers]
    told = [name for name in ("server", "x-powered-by", "set-cookie") if name in names]
    secure = [name for name in ("strict-transport-security",) if name in names and name not in expected]
    different = [(name, value) for name, value in expected.items() if [v for n, v in headers if n == name] != [value]]
    twice = [name for name in set(names) if names.count(name) > 1]
    unnamed = [] if "x-request-id" in names else ["no request id"]
    return [*told, *secure, *different, *twice, *unnamed]


async def test_every_kind_of_answer_has_its_headers_once_and_does_not_name_its_software(site: Site) -> None:
    faults = {}
    for kind, request, expected, others in kinds(site):
        found, headers = await site.head(request)
        assert found == expected, kind
        if flaws := wrong(headers, site.standing | others):
            faults[kind] = flaws
    assert faults == {}


async def test_an_unforeseen_fault_has_them_too(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with sqlite3.connect(site.server.data / "darkroom.sqlite3") as connection:
        connection.execute("ALTER TABLE users RENAME TO lost")
    connection.close()
    bearer = f"Authorization: Bearer {site.person.token}"
    for request in (lasting("GET", "/api/auth/me", bearer), lasting("HEAD", "/api/auth/me", bearer)):
        found, headers = await site.head(request)
        assert (found, wrong(headers, site.standing)) == (500, [])
    caplog.clear()


async def test_so_has_what_aiohttp_answers_by_itself_when_we_cannot(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("counting fails")

    monkeypatch.setattr("server.http.app.count_request", broken)
    found, headers = await site.head(lasting("GET", "/health"))
    assert (found, wrong(headers, site.standing)) == (500, ["no request id"])
    caplog.clear()


async def test_a_request_that_is_told_to_go_on_is_told_nothing_else(site: Site) -> None:
    answer = await exchange(site.server, post("/api/auth/login", b"{}", "Expect: 100-continue"))
    told, _, then = answer.partition(b"\r\n\r\n")
    assert told == b"HTTP/1.1 100 Continue"
    assert then.startswith(b"HTTP/1.1 400 Bad Request") and b"\r\nServer:" not in then


async def test_answers_on_one_connection_each_have_them_once(site: Site) -> None:
    answers = await exchange(site.server, lasting("GET", "/health") * 3 + bare("GET", "/health"))
    for name, value in site.standing.items():
        assert answers.lower().count(f"\r\n{name}: {value}\r\n".lower().encode()) == 4, name


async def test_the_cashier_needs_nothing_that_its_policy_forbids(site: Site) -> None:
    """No script, no style but its own sheet, nothing from elsewhere; and its button posts to the page itself."""
    assert not re.search(r"<script|<link|<img|<iframe|<base|\bstyle=|\bon[a-z]+=|\burl\(|@import|action=", site.page)
    assert '<form method="post"' in site.page
