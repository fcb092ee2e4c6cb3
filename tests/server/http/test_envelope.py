"""The envelope, the request id and the headers of every response, and malformed requests."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from pathlib import Path

import pytest

from server.logs.format import line_format
from tests.support.raw_http import TIMEOUT_SECONDS, exchange, post, started_request, status, without_length
from tests.support.server import ApiUser, LocalServer, ManualClock, running_server


async def test_an_unknown_path_is_404(server: LocalServer) -> None:
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/quota/",
        "/API/quota",
        "//api/quota",
        "/api/none",
        "/%00",
        "/media",
        "/admin",
    ]:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            assert (await server.call(method, path)).refusal == (404, 404), (method, path)


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        *(("GET", "/api/auth/login", "POST"), ("DELETE", "/api/quota", "GET,HEAD"), ("POST", "/health", "GET,HEAD")),
        *(
            ("PUT", "/api/task/create", "POST"),
            ("GET", "/api/task/create", "POST"),
            ("PATCH", "/api/auth/me", "GET,HEAD"),
        ),
        *(("GET", "/api/task/x/status", "PUT"), ("DELETE", "/media/x", "GET,HEAD,PUT")),
    ],
)
async def test_a_wrong_method_is_405_and_lists_the_allowed_methods(
    server: LocalServer, method: str, path: str, allowed: str
) -> None:
    response = await server.call(method, path)
    assert response.refusal == (405, 405)
    assert set(response.headers["Allow"].split(",")) == set(allowed.split(","))


async def test_a_body_over_the_limit_is_413(server: LocalServer) -> None:
    small_body = json.dumps({"phone": "1" * 65_000, "code": ""}).encode()
    assert (await server.post("/api/auth/login", raw=small_body.ljust(65_536))).refusal == (400, 2000)
    assert (await server.post("/api/auth/login", raw=small_body.ljust(65_537))).refusal == (413, 4013)
    user = await server.new_user()
    for path in ("/api/task/create", "/api/media/validate", "/api/membership/purchase"):
        assert (await server.post(path, {"x": "y" * 70_000}, user=user)).refusal == (413, 4013)
    assert (await server.post("/api/membership/payment-callback/wx", raw=b"x" * 70_000)).refusal == (413, 4013)
    assert (await server.put("/api/task/x/status", raw=b"x" * 70_000)).refusal == (413, 4013)


async def test_a_content_length_over_the_limit_is_refused_before_the_body_arrives(server: LocalServer) -> None:
    response = await exchange(server, post("/api/auth/login", b"", length=10**10), until=b"4013")
    assert status(response) == 413


async def test_a_valid_request_id_is_echoed_and_an_invalid_one_replaced(server: LocalServer) -> None:
    for valid in ("a", "f" * 64, "req-1_2.3"):
        assert (await server.get("/health", headers={"X-Request-Id": valid})).headers["X-Request-Id"] == valid
        refused = await server.get("/none", headers={"X-Request-Id": valid})
        assert refused.content["error"]["requestId"] == refused.headers["X-Request-Id"] == valid
    for invalid in ("", " ", "f" * 65, "a b", "é", "<script>", "a\tb", '"', "../x", "f" * 7000):
        echoed = (await server.get("/health", headers={"X-Request-Id": invalid})).headers["X-Request-Id"]
        assert echoed != invalid and len(echoed) >= 18, invalid


async def test_every_response_forbids_content_sniffing(server: LocalServer) -> None:
    for path in ("/health", "/none", "/api/quota"):
        response = await server.get(path)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_head_is_get_without_a_body(server: LocalServer) -> None:
    user = await server.new_user()
    for path, expected in (
        ("/health", 200),
        ("/ready", 200),
        ("/api/quota", 200),
        ("/api/task/list", 200),
        ("/x", 404),
    ):
        head, get = await server.call("HEAD", path, user=user), await server.get(path, user=user)
        assert (head.status, head.raw, get.status) == (expected, b"", expected)
        assert head.headers["Content-Length"] == get.headers["Content-Length"] != "0"
    assert (await server.call("HEAD", "/api/quota")).status == 401
    assert (await server.call("HEAD", "/api/auth/login")).status == 405


async def test_an_unsupported_expect_header_is_417(server: LocalServer) -> None:
    response = await exchange(server, without_length("GET", "/health", "Expect: a-pony"))
    assert status(response) == 417 and b"X-Request-Id" in response and b'"code":417' in response
    for method, path in (("GET", "/nothing"), ("DELETE", "/api/quota")):
        response = await exchange(server, without_length(method, path, "Expect: a-pony"))
        assert status(response) == 417 and b"X-Request-Id" in response and b'"code":417' in response
    interim = await exchange(server, post("/api/auth/login", b"{}", "Expect: 100-continue"))
    assert status(interim) == 100 and b"HTTP/1.1 400 Bad Request" in interim


async def test_malformed_http_is_refused(server: LocalServer) -> None:
    for raw in [
        *(
            b"GET /api/task/\xff HTTP/1.1\r\n\r\n",
            b"GET /media/x?signature=\xff HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\r\n\r\n",
        ),
        *(
            b"GET health HTTP/1.1\r\n\r\n",
            b"GET http://[::1 HTTP/1.1\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\r\n\x00\r\n\r\n",
        ),
        *(
            without_length("GET", "/" + "a" * 9000),
            without_length("GET", "/", "X: " + "y" * 9000),
            without_length("GET", "/", "A\x00: b"),
        ),
        *(post("/api/auth/login", b"", length=-5), post("/api/auth/login", b"", length=10**30)),
        *(
            post("/api/auth/login", b"{}", "Content-Length: 3"),
            post("/api/auth/login", b"", "Transfer-Encoding: chunked"),
        ),
        *(
            without_length("POST", "/x", "Transfer-Encoding: x, y"),
            without_length("POST", "/x", "Transfer-Encoding: chunked") + b"zz\r\n\r\n",
        ),
    ]:
        response = await exchange(server, raw)
        assert status(response) == 400, raw
        assert (await server.get("/health")).status == 200


async def test_an_unexpected_error_is_logged_in_full_and_answered_without_details(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server(tmp_path, ManualClock(), tasks={"workers": 0}) as server:
        user = await server.new_user()
        with sqlite3.connect(tmp_path / "darkroom.sqlite3") as connection:
            connection.execute("ALTER TABLE users RENAME TO lost")
        connection.close()
        response = await server.get("/api/auth/me", user=user)
        assert response.refusal == (500, 9999)
        assert response.content["error"]["message"] == "服务器内部错误"
        assert b"users" not in response.raw and b"sqlite" not in response.raw
        assert_logged_in_full(caplog, response.headers["X-Request-Id"])
        caplog.clear()


def assert_logged_in_full(caplog: pytest.LogCaptureFixture, request_id: str) -> None:
    (record,) = [record for record in caplog.records if record.name == "darkroom.http"]
    line = json.loads(line_format(production=True).format(record))
    assert (line["level"], line["event"], line["request_id"]) == ("error", "request failed", request_id)
    assert (line["method"], line["route"]) == ("GET", "/api/auth/me")
    assert "Traceback" in line["exception"] and "no such table" in line["exception"]
    read = line_format(production=False).format(record)
    assert "no such table" in read and request_id in read


async def test_the_log_contains_no_secrets(server: LocalServer, caplog: pytest.LogCaptureFixture) -> None:
    """The log records themselves contain no secrets, even before masking."""
    caplog.set_level(logging.DEBUG)
    old_code, code = await server.request_code("13912345678"), await server.request_code("13912345678")
    await server.post("/api/auth/login", {"phone": "13912345678", "code": old_code})
    login = (await server.post("/api/auth/login", {"phone": "13912345678", "code": code})).data
    user = ApiUser(login["user"]["id"], "13912345678", login["token"])
    place = (await server.get("/api/media/sts", user=user)).data
    await server.put(place["uploadUrl"], raw=b"no picture")
    for _ in range(2):
        renewed = await server.post("/api/auth/refresh", {"refreshToken": login["refreshToken"]})
    assert renewed.status == 401 and "a refresh token was used twice" in caplog.text
    await server.post("/api/auth/logout", user=user)
    await exchange(server, without_length("GET", "/api/quota", f"Authorization: Bearer {user.token}\x00"))
    await exchange(server, f"GET {place['uploadUrl']} \xff HTTP/1.1\r\n\r\n".encode("latin-1"))
    signature = place["uploadUrl"].partition("signature=")[2]
    assert "139****5678" in caplog.text, "the log is not empty"
    secrets = (user.phone, user.token, login["refreshToken"], signature, f"{code}'", f"{old_code}'")
    for secret in (*secrets, f"={code}", f"={old_code}"):
        assert secret not in caplog.text


async def test_a_connection_that_sends_no_request_is_closed(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections without data, or with half a request head, would otherwise keep other clients out."""
    monkeypatch.setattr("server.http.runner.HEAD_SECONDS", 0.01)
    for request in (b"", b"GET /health HTTP/1.1\r\nHost:"):
        assert await exchange(server, request) == b""


async def test_a_connection_that_sent_a_request_stays_open(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.http.runner.HEAD_SECONDS", 0.01)
    head = without_length("POST", "/api/auth/login", "Content-Length: 2", "Expect: 100-continue")
    async with started_request(server, head) as (reader, writer):
        assert await exchange(server, b"") == b"", "a connection that was opened later is closed by now"
        writer.write(b"{}")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert b'"code":2000' in await reader.readuntil(b"}}")
