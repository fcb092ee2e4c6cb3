"""Bodies that are no JSON object of the right shape, garbled on their way, or made to hurt the parser."""

from __future__ import annotations

import gzip
import json

import pytest

from actors.errors import DomainError
from server.http.body import Body, parse_body
from server.http.routes.auth import LoginBody, SendCodeBody
from server.http.routes.membership import PurchaseBody
from tests.support.account_state import account_state
from tests.support.raw_http import bare, exchange, post, status
from tests.support.server import LocalServer, User

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


async def test_what_is_no_json_object_is_refused_everywhere(server: LocalServer) -> None:
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
            answer = await server.post(path, raw=body, user=member)
            assert answer.refusal == (400, 4001), (path, body[:60])
            assert len(answer.raw) < 1000, "nothing long is sent back"
    assert await account_state(server, member) == before
    assert not (server.data / "sandbox" / "sms" / "13800138000.json").exists()


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "é", ""]
)
async def test_the_content_type_does_not_matter(server: LocalServer, content_type: str) -> None:
    answer = await server.post("/api/auth/send-code", raw=GOOD, headers={"Content-Type": content_type})
    assert answer.data == {"expireIn": 300}


async def nested(server: LocalServer, user: User, depth: int) -> set[tuple[int, int]]:
    """How bodies of this depth are refused, whatever holds the nesting."""
    found = set()
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
            found.add((await server.post(CREATE, raw=whole.encode(), user=user)).refusal)
    return found


async def test_nesting_of_any_depth_is_refused(server: LocalServer) -> None:
    person = await server.new_user()
    for depth in (1, 10, 90, 110, 190, 230, 260, 400, 700, *range(900, 1010, 10), 2000, 5000):
        assert await nested(server, person, depth) == {(400, 4001)}, depth


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


async def test_a_size_is_a_positive_integer(server: LocalServer) -> None:
    person = await server.new_user()
    for size in SIZES:
        body = f'{{"fileName": "a.png", "fileSize": {size}}}'.encode()
        assert (await server.post("/api/media/validate", raw=body, user=person)).refusal == (400, 4001), size
    for size in (str(2**63), str(2**64), "9" * 30, "9" * 4000):
        body = f'{{"fileName": "a.png", "fileSize": {size}}}'.encode()
        assert (await server.post("/api/media/validate", raw=body, user=person)).refusal == (413, 4013), size


@pytest.mark.parametrize("packed", [gzip.compress(GOOD), gzip.compress(b" " * 30_000_000), b"garbage"])
@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "GZIP"])
async def test_a_compressed_body_is_refused_unpacked(server: LocalServer, name: str, packed: bytes) -> None:
    for path in ("/api/auth/send-code", "/api/membership/payment-callback/wx"):
        assert (await server.post(path, raw=packed, headers={"Content-Encoding": name})).refusal == (400, 4001)
    assert not (server.data / "sandbox" / "sms").exists()


async def test_a_chunked_body_is_a_body(server: LocalServer) -> None:
    chunked = bare("POST", "/api/auth/send-code", "Transfer-Encoding: chunked")
    whole = b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n"
    assert status(await exchange(server, chunked + whole)) == 200
    too_long = b"ffff\r\n" + b" " * 65_535 + b"\r\n" + whole
    assert status(await exchange(server, chunked + too_long)) == 413


async def test_a_caller_that_hangs_up_in_the_middle_changes_nothing(server: LocalServer) -> None:
    short = post("/api/auth/send-code", GOOD, length=len(GOOD) + 1)
    chunked = bare("POST", "/api/auth/send-code", "Transfer-Encoding: chunked") + b"18\r\n" + GOOD + b"\r\n"
    for request in (short, chunked, bare("POST", "/api/auth/send-code", "Content-Length: 5")):
        await exchange(server, request, half_close=True)
    assert not (server.data / "sandbox" / "sms").exists()
    assert (await server.get("/health")).status == 200


async def test_what_follows_a_body_is_not_part_of_it(server: LocalServer) -> None:
    """A Content-Length that is too small leaves the rest to be read as a request, which it is not."""
    both = GOOD + b'{"phone": "13900139000"}'
    assert status(await exchange(server, post("/api/auth/send-code", both, length=len(GOOD)))) in (200, 400)
    assert not (server.data / "sandbox" / "sms" / "13900139000.json").exists()


@pytest.mark.parametrize(("depth", "code"), [(31, 2000), (32, 4001), (60_000 // 2, 4001)])
async def test_depth_has_a_limit_of_its_own(server: LocalServer, depth: int, code: int) -> None:
    body = b'{"other":' + b"[" * depth + b"]" * depth + b"}"
    assert (await server.post("/api/auth/send-code", raw=body)).refusal == (400, code)


async def test_brackets_in_strings_are_no_depth(server: LocalServer) -> None:
    text = "[" * 100 + '"' + "{" * 100 + chr(92)
    assert (await server.post("/api/auth/send-code", {"phone": "13800138000", "other": text})).status == 200


async def test_a_query_parameter_that_is_given_twice_is_refused(server: LocalServer) -> None:
    person = await server.new_user()
    for path in ("/api/task/list?limit=1&limit=2", "/api/quota/ledger?cursor=a&limit=1&cursor=b"):
        assert (await server.get(path, user=person)).refusal == (400, 4001)


@pytest.mark.parametrize(("model", "field"), [(SendCodeBody, "phone"), (LoginBody, "code"), (PurchaseBody, "plan")])
def test_a_refusal_is_made_afresh_for_each_request(model: type[Body], field: str) -> None:
    """One that is raised again and again would keep the frames, and so the bodies, of every request it refused."""
    good: dict[str, object] = {"phone": "13800138000", "code": "123456", "channel": "wx"}
    bad = json.dumps({**good, field: 5}).encode()
    faults = []
    for _ in range(2):
        with pytest.raises(DomainError) as refused:
            parse_body(bad, model)
        faults.append(refused.value)
    assert faults[0] is not faults[1] and type(faults[0]) is type(faults[1])
