"""Cross-origin requests, as browsers send them by the Fetch standard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from server.http.app import ADMISSION_CONTROLS
from tests.support.raw_http import exchange
from tests.support.server import LocalServer, running_server

ORIGIN, OTHER = "https://shop.example", "https://admin.example:8443"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
CREATE = "/api/task/create"

OTHER_ORIGINS = [
    *("https://evil.example", "null", "", "*"),
    *(f"{ORIGIN}.evil.example", "https://evil-shop.example", "https://evil.shop.example", "https://shop.example@evil"),
    *(f"{ORIGIN}:443", f"{ORIGIN}:8443", "https://admin.example", "https://admin.example:844"),
    *("http://shop.example", "shop.example", "//shop.example"),
    *(ORIGIN.upper(), "https://Shop.example", "HTTPS://shop.example"),
    *(f"{ORIGIN}/", f"{ORIGIN}?", f"{ORIGIN} {OTHER}", f"{ORIGIN},{OTHER}", "https://shop.exampl", "https://"),
]


@pytest.fixture
async def production(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A production server with two configured origins."""
    origins = {"cors_origins": [ORIGIN, OTHER]}
    async with running_server(tmp_path / "p", mode="production", tasks={"workers": 0}, server=origins) as server:
        yield server


def cors_headers(headers: Mapping[str, str]) -> set[str]:
    return {name.lower() for name in headers if name.lower().startswith("access-control-")}


async def test_development_allows_every_origin(server: LocalServer) -> None:
    for origin in (ORIGIN, "http://localhost:5173", "null"):
        response = await server.get("/health", headers={"Origin": origin})
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        preflight = await server.call("OPTIONS", CREATE, headers={"Origin": origin, **PREFLIGHT})
        assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")


@pytest.mark.parametrize("origin", [ORIGIN, OTHER])
async def test_production_allows_each_configured_origin(production: LocalServer, origin: str) -> None:
    preflight = await production.call("OPTIONS", CREATE, headers={"Origin": origin, **PREFLIGHT})
    assert (preflight.status, preflight.raw, preflight.headers["Access-Control-Allow-Origin"]) == (204, b"", origin)
    for path, status in (("/health", 200), ("/none", 404), ("/api/quota", 401)):
        response = await production.get(path, headers={"Origin": origin})
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, origin), (
            "a frontend can also read refusals"
        )


async def test_production_allows_no_other_origin(production: LocalServer) -> None:
    for origin in OTHER_ORIGINS:
        for method, path in (("OPTIONS", CREATE), ("GET", "/health"), ("GET", "/none")):
            response = await production.call(method, path, headers={"Origin": origin, **PREFLIGHT})
            assert cors_headers(response.headers) == set(), (origin, method, path)


async def test_a_frontend_may_send_every_header_and_method_of_the_api(production: LocalServer) -> None:
    """Headers that need no permission are not listed, nor is `*`, which would not include Authorization."""
    response = await production.call("OPTIONS", CREATE, headers={"Origin": ORIGIN, **PREFLIGHT})
    headers = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert headers == {"authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"}
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, DELETE"
    assert response.headers["Access-Control-Max-Age"] == "600"


async def test_a_frontend_may_read_the_headers_that_it_needs(production: LocalServer) -> None:
    response = await production.get("/health", headers={"Origin": ORIGIN})
    assert response.headers["Access-Control-Expose-Headers"] == "X-Request-Id, Retry-After"


async def test_every_response_varies_by_origin(production: LocalServer) -> None:
    """Responses to requests without an origin too, because a cache could serve them to every origin."""
    for headers in ({"Origin": ORIGIN}, {"Origin": "https://evil.example"}, {}):
        for method, path in (("OPTIONS", CREATE), ("GET", "/health"), ("GET", "/none"), ("HEAD", "/health")):
            response = await production.call(method, path, headers={**PREFLIGHT, **headers})
            assert response.headers["Vary"] == "Origin", (method, path, headers)


async def test_credentials_are_never_allowed(server: LocalServer, production: LocalServer) -> None:
    for target in (server, production):
        for method in ("OPTIONS", "GET"):
            response = await target.call(method, "/health", headers={"Origin": ORIGIN, **PREFLIGHT})
            assert "access-control-allow-origin" in cors_headers(response.headers)
            assert "access-control-allow-credentials" not in cors_headers(response.headers)


@pytest.mark.parametrize("missing", ["Origin", "Access-Control-Request-Method"])
async def test_options_without_the_preflight_headers_is_an_ordinary_request(server: LocalServer, missing: str) -> None:
    headers = {name: value for name, value in {"Origin": ORIGIN, **PREFLIGHT}.items() if name != missing}
    response = await server.call("OPTIONS", CREATE, headers=headers)
    assert response.refusal == (405, 405) and response.headers["Allow"] == "POST"


async def test_a_frontend_may_read_an_early_rejection(production: LocalServer) -> None:
    admission = production.app[ADMISSION_CONTROLS]["POST", CREATE]
    admission.in_flight = admission.limit
    for origin, allowed in ((ORIGIN, True), (f"{ORIGIN}.evil.example", False)):
        request = f"POST {CREATE} HTTP/1.1\r\nHost: d\r\nOrigin: {origin}\r\nContent-Length: 2\r\n\r\n{{}}"
        response = await exchange(production, request.encode(), until=b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 503 ") and b"\r\nVary: Origin\r\n" in response
        assert (f"\r\nAccess-Control-Allow-Origin: {ORIGIN}\r\n".encode() in response) == allowed
