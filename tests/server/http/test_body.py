"""Bodies that are malformed, incomplete, too deep, or made to harm the parser."""

from __future__ import annotations

import gzip
import json

import pytest

from actors.errors import DomainError
from server.http.body import Body, parse_body
from server.http.routes.auth import LoginBody, SendCodeBody
from server.http.routes.membership import PurchaseBody
from tests.support.account_state import account_state
from tests.support.raw_http import exchange, post, status, without_length
from tests.support.server import ApiUser, LocalServer

CREATE = "/api/task/create"
GOOD = b'{"phone": "13800138000"}'
MALFORMED = (
    *(
        b"",
        b" ",
        b"{",
        b"}",
        b"null",
        b"true",
        b"5",
        b'"text"',
        b"[]",
        b"[{}]",
        b"{}{}",
        b"{} x",
        b"{'a': 1}",
        b"{a: 1}",
    ),
    *(
        b'{"a": 1,}',
        b'{"a"}',
        b'{"a": }',
        b'{"a": 01}',
        b'{"a": +1}',
        b'{"a": .5}',
        b'{"a": 0x10}',
        b"phone=13800138000",
    ),
    *(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"x": [{"y": NaN}]}', b"<xml/>", b"\x00", b"{}\x00"),
    *(b'{"phone": "1\n"}', b'{"phone": "\t"}', b'{"phone": "\x00"}', b'{"a": "\\x41"}', b'{"a": "\\ud8"}', b"/**/{}"),
    *(
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\xaf"}',
        b"\x80",
    ),
    *(b'{"a": 1, "a": 1}', b'{"x": {"a": 1, "a": 2}}', b'{"phone": "13800138000", "ph\\u006fne": "13900139000"}'),
    *(b'{"a": ' + b"9" * 5000 + b"}", b'{"a": -' + b"9" * 5000 + b"}"),
    *(
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ),
)


async def test_a_body_that_is_not_a_json_object_is_refused_everywhere(server: LocalServer) -> None:
    member = await server.new_member()
    before = await account_state(server, member)
    for body in MALFORMED:
        for path in (
            "/api/auth/send-code",
            "/api/auth/login",
            CREATE,
            "/api/membership/purchase",
            "/api/media/validate",
        ):
            response = await server.post(path, raw=body, user=member)
            assert response.refusal == (400, 4001), (path, body[:60])
            assert len(response.raw) < 1000, "the body is not echoed"
    assert await account_state(server, member) == before
    assert not (server.data / "sandbox" / "sms" / "13800138000.json").exists()


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "é", ""]
)
async def test_the_content_type_does_not_matter(server: LocalServer, content_type: str) -> None:
    response = await server.post("/api/auth/send-code", raw=GOOD, headers={"Content-Type": content_type})
    assert response.data == {"expireIn": 300}


async def nested_refusals(server: LocalServer, user: ApiUser, depth: int) -> set[tuple[int, int]]:
    """Return how bodies with a value of this depth are refused, in several places of the body."""
    refusals = set()
    for deep in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        for form in (
            '{"params": %s}',
            '{"params": {"template": %s}}',
            '{"params": {"x": %s}}',
            '{"type": %s}',
            '{"x": %s}',
        ):
            fields = json.dumps({"type": "basic_clean", "inputImageUrl": "x"})[:-1]
            whole = f"{fields}, {(form % deep)[1:]}" if '"type"' not in form else form % deep
            refusals.add((await server.post(CREATE, raw=whole.encode(), user=user)).refusal)
    return refusals


async def test_nested_values_of_any_depth_are_refused(server: LocalServer) -> None:
    user = await server.new_user()
    for depth in (1, 10, 90, 110, 190, 230, 260, 400, 700, *range(900, 1010, 10), 2000, 5000):
        assert await nested_refusals(server, user, depth) == {(400, 4001)}, depth


SIZES = (
    "null",
    "true",
    '"5"',
    "1.0",
    "1.5",
    "0",
    "-1",
    "1e1",
    "1e999",
    "-1e999",
    "[]",
    "{}",
    "[5]",
    '"\\ud800"',
    "-" + "9" * 4000,
)


async def test_a_file_size_must_be_a_positive_integer(server: LocalServer) -> None:
    user = await server.new_user()
    for size in SIZES:
        body = f'{{"fileName": "a.png", "fileSize": {size}}}'.encode()
        assert (await server.post("/api/media/validate", raw=body, user=user)).refusal == (400, 4001), size
    for size in (str(2**63), str(2**64), "9" * 30, "9" * 4000):
        body = f'{{"fileName": "a.png", "fileSize": {size}}}'.encode()
        assert (await server.post("/api/media/validate", raw=body, user=user)).refusal == (413, 4013), size


@pytest.mark.parametrize(
    "compressed", [gzip.compress(GOOD), gzip.compress(b" " * 30_000_000), b"garbage"], ids=["small", "bomb", "no gzip"]
)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP"])
async def test_a_compressed_body_is_refused_without_decompression(
    server: LocalServer, encoding: str, compressed: bytes
) -> None:
    for path in ("/api/auth/send-code", "/api/membership/payment-callback/wx"):
        assert (await server.post(path, raw=compressed, headers={"Content-Encoding": encoding})).refusal == (400, 4001)
    assert not (server.data / "sandbox" / "sms").exists()


async def test_a_chunked_body_is_accepted_up_to_the_limit(server: LocalServer) -> None:
    chunked = without_length("POST", "/api/auth/send-code", "Transfer-Encoding: chunked")
    whole = b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n"
    assert status(await exchange(server, chunked + whole)) == 200
    too_long = b"ffff\r\n" + b" " * 65_535 + b"\r\n" + whole
    assert status(await exchange(server, chunked + too_long)) == 413


async def test_an_interrupted_body_changes_nothing(server: LocalServer) -> None:
    short = post("/api/auth/send-code", GOOD, length=len(GOOD) + 1)
    chunked = without_length("POST", "/api/auth/send-code", "Transfer-Encoding: chunked") + b"18\r\n" + GOOD + b"\r\n"
    for request in (short, chunked, without_length("POST", "/api/auth/send-code", "Content-Length: 5")):
        await exchange(server, request, half_close=True)
    assert not (server.data / "sandbox" / "sms").exists()
    assert (await server.get("/health")).status == 200


async def test_bytes_after_the_content_length_are_not_part_of_the_body(server: LocalServer) -> None:
    """With a Content-Length that is too small, the rest is read as the next request, which is malformed."""
    both = GOOD + b'{"phone": "13900139000"}'
    assert status(await exchange(server, post("/api/auth/send-code", both, length=len(GOOD)))) in (200, 400)
    assert not (server.data / "sandbox" / "sms" / "13900139000.json").exists()


@pytest.mark.parametrize(("depth", "code"), [(31, 2000), (32, 4001), (60_000 // 2, 4001)])
async def test_nesting_beyond_32_levels_is_refused(server: LocalServer, depth: int, code: int) -> None:
    body = b'{"other":' + b"[" * depth + b"]" * depth + b"}"
    assert (await server.post("/api/auth/send-code", raw=body)).refusal == (400, code)


async def test_brackets_in_strings_do_not_count_as_nesting(server: LocalServer) -> None:
    text = "[" * 100 + '"' + "{" * 100 + chr(92)
    assert (await server.post("/api/auth/send-code", {"phone": "13800138000", "other": text})).status == 200


async def test_a_duplicate_query_parameter_is_refused(server: LocalServer) -> None:
    user = await server.new_user()
    for path in ("/api/task/list?limit=1&limit=2", "/api/quota/ledger?cursor=a&limit=1&cursor=b"):
        assert (await server.get(path, user=user)).refusal == (400, 4001)


@pytest.mark.parametrize(("model", "field"), [(SendCodeBody, "phone"), (LoginBody, "code"), (PurchaseBody, "plan")])
def test_the_error_of_a_bad_field_is_a_new_object_for_each_request(model: type[Body], field: str) -> None:
    """An error that is raised again keeps the frames, and so the bodies, of all requests it was raised for."""
    good: dict[str, object] = {"phone": "13800138000", "code": "123456", "channel": "wx"}
    bad = json.dumps({**good, field: 5}).encode()
    errors = []
    for _ in range(2):
        with pytest.raises(DomainError) as refused:
            parse_body(bad, model)
        errors.append(refused.value)
    assert errors[0] is not errors[1] and type(errors[0]) is type(errors[1])
