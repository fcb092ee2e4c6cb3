"""Cross-origin requests, as the Fetch standard has browsers make them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from server.http.app import ADMISSION_CONTROLS
from tests.support.raw_http import exchange
from tests.support.server import LocalServer, running_server

ORIGIN, OTHER = "https://shop.example", "https://admin.example:8443"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
CREATE = "/api/task/create"

STRANGERS = [
    *("https://evil.example", "null", "", "*"),
    *(f"{ORIGIN}.evil.example", "https://evil-shop.example", "https://evil.shop.example", "https://shop.example@evil"),
    *(f"{ORIGIN}:443", f"{ORIGIN}:8443", "https://admin.example", "https://admin.example:844"),
    *("http://shop.example", "shop.example", "//shop.example"),
    *(ORIGIN.upper(), "https://Shop.example", "HTTPS://shop.example"),
    *(f"{ORIGIN}/", f"{ORIGIN}?", f"{ORIGIN} {OTHER}", f"{ORIGIN},{OTHER}", "https://shop.exampl", "https://"),
]


@pytest.fixture
async def production(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """With two frontends."""
    origins = {"cors_origins": [ORIGIN, OTHER]}
    async with running_server(tmp_path / "p", mode="production", tasks={"workers": 0}, server=origins) as server:
        yield server


def granted(headers: Mapping[str, str]) -> set[str]:
    return {name.lower() for name in headers if name.lower().startswith("access-control-")}


async def test_development_answers_any_origin(server: LocalServer) -> None:
    for origin in (ORIGIN, "http://localhost:5173", "null"):
        answer = await server.get("/health", headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        asked = await server.call("OPTIONS", CREATE, headers={"Origin": origin, **ASKED})
        assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, "*")


@pytest.mark.parametrize("origin", [ORIGIN, OTHER])
async def test_production_answers_each_configured_origin_by_its_name(production: LocalServer, origin: str) -> None:
    asked = await production.call("OPTIONS", CREATE, headers={"Origin": origin, **ASKED})
    assert (asked.status, asked.raw, asked.headers["Access-Control-Allow-Origin"]) == (204, b"", origin)
    for path, status in (("/health", 200), ("/none", 404), ("/api/quota", 401)):
        answer = await production.get(path, headers={"Origin": origin})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, origin), (
            "a refusal is read too"
        )


@pytest.mark.parametrize("origin", STRANGERS)
async def test_production_answers_no_other_origin(production: LocalServer, origin: str) -> None:
    for method, path in (("OPTIONS", CREATE), ("GET", "/health"), ("GET", "/none")):
        answer = await production.call(method, path, headers={"Origin": origin, **ASKED})
        assert granted(answer.headers) == set(), (method, path)


async def test_a_frontend_may_send_every_header_and_method_that_the_api_has(production: LocalServer) -> None:
    """Those that a browser sends without asking are left out, and no name is `*`, which spares Authorization."""
    answer = await production.call("OPTIONS", CREATE, headers={"Origin": ORIGIN, **ASKED})
    headers = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert headers == {"authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"}
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT"
    assert answer.headers["Access-Control-Max-Age"] == "600"


async def test_a_frontend_may_read_the_headers_that_it_needs(production: LocalServer) -> None:
    answer = await production.get("/health", headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Expose-Headers"] == "X-Request-Id, Retry-After"


async def test_a_cache_is_told_that_answers_depend_on_the_origin(production: LocalServer) -> None:
    """Those without one as well: a cache would give them to everybody."""
    for headers in ({"Origin": ORIGIN}, {"Origin": "https://evil.example"}, {}):
        for method, path in (("OPTIONS", CREATE), ("GET", "/health"), ("GET", "/none"), ("HEAD", "/health")):
            answer = await production.call(method, path, headers={**ASKED, **headers})
            assert answer.headers["Vary"] == "Origin", (method, path, headers)


async def test_credentials_are_never_allowed(server: LocalServer, production: LocalServer) -> None:
    for target in (server, production):
        for method in ("OPTIONS", "GET"):
            answer = await target.call(method, "/health", headers={"Origin": ORIGIN, **ASKED})
            assert "access-control-allow-origin" in granted(answer.headers)
            assert "access-control-allow-credentials" not in granted(answer.headers)


@pytest.mark.parametrize("missing", ["Origin", "Access-Control-Request-Method"])
async def test_options_that_is_no_preflight_is_just_a_method(server: LocalServer, missing: str) -> None:
    headers = {name: value for name, value in {"Origin": ORIGIN, **ASKED}.items() if name != missing}
    answer = await server.call("OPTIONS", CREATE, headers=headers)
    assert answer.refusal == (405, 405) and answer.headers["Allow"] == "POST"


async def test_whoever_is_turned_away_may_read_that_too(production: LocalServer) -> None:
    admission = production.app[ADMISSION_CONTROLS]["POST", CREATE]
    admission.in_flight = admission.limit
    for origin, allowed in ((ORIGIN, True), (f"{ORIGIN}.evil.example", False)):
        request = f"POST {CREATE} HTTP/1.1\r\nHost: d\r\nOrigin: {origin}\r\nContent-Length: 2\r\n\r\n{{}}"
        answer = await exchange(production, request.encode(), until=b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nVary: Origin\r\n" in answer
        assert (f"\r\nAccess-Control-Allow-Origin: {ORIGIN}\r\n".encode() in answer) == allowed
