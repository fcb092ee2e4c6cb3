"""Access tokens: every route for users requires a valid one."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from typing import Any

import jwt
import pytest

from actors.auth.signing_keys import derive_key
from actors.auth.tokens import TokenKey
from storage.auth import signing_keys
from tests.support.server import SECRETS, ApiUser, LocalServer

DAY = 86_400
USER_ROUTES = [
    ("GET", "/api/auth/me"),
    ("POST", "/api/membership/purchase"),
    ("GET", "/api/membership/status"),
    ("GET", "/api/membership/orders"),
    ("GET", "/api/membership/orders/" + "0" * 32),
    ("GET", "/api/quota"),
    ("GET", "/api/quota/ledger"),
    ("POST", "/api/task/create"),
    ("GET", "/api/task/list"),
    ("GET", "/api/task/" + "0" * 32),
    ("GET", "/api/media/sts"),
    ("POST", "/api/media/validate"),
    ("POST", "/api/auth/logout"),
    ("PUT", "/api/admin/users/" + "0" * 32 + "/ban"),
]


def base64_json(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Forger:
    """Makes tokens with the server's newest key."""

    key: TokenKey

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "HS256", "typ": "at+jwt", "kid": self.key.id}

    def signed(self, claims: dict[str, Any], secret: bytes | str | None = None) -> str:
        return jwt.encode(claims, secret or self.key.secret, "HS256", headers={"kid": self.key.id, "typ": "at+jwt"})

    def with_header(self, header: object, claims: object, digest: str = "sha256") -> str:
        """Sign any header and claims with the right secret. Header fields that are not given are correct."""
        full = {**self.header, **header} if isinstance(header, dict) else header
        return self.with_exact_header(full, claims, digest)

    def with_exact_header(self, header: object, claims: object, digest: str = "sha256") -> str:
        text = f"{base64_json(header)}.{base64_json(claims)}"
        return f"{text}.{base64_json(hmac.digest(self.key.secret, text.encode(), digest))}"


@pytest.fixture
async def forger(server: LocalServer) -> Forger:
    keys = await server.system._db.read(signing_keys.load)
    return Forger(TokenKey(keys[-1].id, derive_key(SECRETS["token"].encode(), keys[-1].salt)))


def claims_of(user: ApiUser) -> dict[str, Any]:
    return dict(jwt.decode(user.token, options={"verify_signature": False}))


async def try_token(server: LocalServer, authorization: str | None) -> tuple[int, int]:
    response = await server.get("/api/quota", headers={} if authorization is None else {"Authorization": authorization})
    return (200, 0) if response.status == 200 else response.refusal


async def test_every_user_route_refuses_a_request_without_a_token(server: LocalServer) -> None:
    for method, path in USER_ROUTES:
        for headers in ({}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"Cookie": "token=x"}):
            response = await server.call(method, path, {"garbage": [1]}, headers=headers)
            assert response.refusal == (401, 1001), (method, path, headers)


async def test_the_token_has_the_claims_of_the_contract(server: LocalServer, forger: Forger) -> None:
    user = await server.new_user("13800138000")
    claims = claims_of(user)
    assert (claims["userId"], claims["phone"]) == (user.id, "13800138000")
    assert claims["exp"] - claims["iat"] == 7 * DAY
    assert jwt.get_unverified_header(user.token)["alg"] == "HS256"
    for good in (forger.signed(claims), forger.with_header({"cty": "JWT"}, claims)):
        assert await try_token(server, f"Bearer {good}") == (200, 0), "otherwise the forgeries below prove nothing"
    assert await try_token(server, f"bearer {user.token}") == (200, 0), "the scheme's case does not matter (RFC 9110)"


async def test_a_token_with_another_algorithm_or_secret_is_refused(server: LocalServer, forger: Forger) -> None:
    claims = claims_of(await server.new_user())
    unsigned = [
        f"{base64_json({**forger.header, 'alg': name})}.{base64_json(claims)}." for name in ("none", "None", "nOnE", "")
    ]
    named_only = [
        forger.with_header({"alg": name}, claims)
        for name in ("none", "HS384", "RS256", "ES256", "", None, 5, ["HS256"])
    ]
    others = [forger.signed(claims, secret) for name, secret in SECRETS.items() if name != "token"]
    other_digests = [
        forger.with_header({"alg": "HS384"}, claims, "sha384"),
        forger.with_header({"alg": "HS512"}, claims, "sha512"),
    ]
    for forged in (
        *unsigned,
        *named_only,
        *others,
        *other_digests,
        forger.with_exact_header({}, claims),
        forger.with_header({"alg": "HS256"}, claims, "sha1"),
    ):
        assert await try_token(server, f"Bearer {forged}") == (401, 1001), forged


async def test_a_token_without_a_required_claim_is_refused(server: LocalServer, forger: Forger) -> None:
    for missing in ["exp", "iat", "jti", "iss", "aud", "userId", "phone", "sid"]:
        claims = claims_of(await server.new_user())
        del claims[missing]
        assert await try_token(server, f"Bearer {forger.signed(claims)}") == (401, 1001), missing
        if missing not in ("userId", "phone", "sid"):  # these are read only after everything else was valid
            forged = forger.with_header({"alg": "HS256"}, {**claims, missing: None})
            assert await try_token(server, f"Bearer {forged}") == (401, 1001), missing


@pytest.mark.parametrize(
    "claim, values",
    [
        ("iss", ["", "someone", "Darkroom", 5, ["darkroom"]]),
        ("aud", ["", "someone", "darkroom-admin", 5, ["someone"], {}]),
        ("iat", ["yesterday", 1e300, {}, [1]]),
        ("exp", ["later", "99999999999", 0, -1, 1e300, [], {}]),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(
    server: LocalServer, forger: Forger, claim: str, values: list[object]
) -> None:
    claims = claims_of(await server.new_user())
    for value in values:
        forged = forger.with_header({"alg": "HS256"}, {**claims, claim: value})
        assert await try_token(server, f"Bearer {forged}") == (401, 1001), value


async def test_a_token_with_a_wrong_header_is_refused(server: LocalServer, forger: Forger) -> None:
    """A token of another kind, or with another key id, is refused even with a valid signature."""
    claims = claims_of(await server.new_user())
    assert await try_token(server, f"Bearer {forger.with_header({}, claims)}") == (200, 0)
    for header in [
        *({"typ": kind} for kind in ("", "JWT", "jwt", "rt+jwt", "access", None, 1, ["at+jwt"])),
        *({"kid": key} for key in ("", "another", None, 1, ["x"], "../../etc/passwd", "' OR 1=1 --")),
        *({"crit": names} for names in ([], ["exp"], "exp")),
    ]:
        assert await try_token(server, f"Bearer {forger.with_header(header, claims)}") == (401, 1001), header


@pytest.mark.parametrize("missing", ["alg", "typ", "kid"])
async def test_a_token_without_a_required_header_is_refused(server: LocalServer, forger: Forger, missing: str) -> None:
    header = {name: value for name, value in forger.header.items() if name != missing}
    assert await try_token(
        server, f"Bearer {forger.with_exact_header(header, claims_of(await server.new_user()))}"
    ) == (
        401,
        1001,
    )


async def test_a_token_expires_after_seven_days(server: LocalServer, forger: Forger) -> None:
    user = await server.new_user()
    claims = claims_of(user)
    for changed in ({"exp": claims["exp"] + 1}, {"exp": claims["exp"] + 3650 * DAY}, {"iat": claims["iat"] + 3600}):
        assert await try_token(server, f"Bearer {forger.signed({**claims, **changed})}") == (401, 1001), changed
    server.clock.advance(seconds=7 * DAY - 1)
    assert await try_token(server, f"Bearer {user.token}") == (200, 0)
    server.clock.advance(seconds=1)
    assert await try_token(server, f"Bearer {user.token}") == (401, 1001)


async def test_a_token_with_the_user_id_of_another_user_is_refused(server: LocalServer) -> None:
    victim, attacker = await server.new_user(), await server.new_user()
    header, _, signature = attacker.token.split(".")
    forged = f"{header}.{base64_json({**claims_of(attacker), 'userId': victim.id})}.{signature}"
    assert await try_token(server, f"Bearer {forged}") == (401, 1001)


async def test_no_other_secret_is_accepted_as_a_token(server: LocalServer, forger: Forger) -> None:
    await server.request_code("13800138000")
    user = await server.new_user("13900139000")
    code = await server.request_code("13900139000")
    login = (await server.post("/api/auth/login", {"phone": "13900139000", "code": code})).data
    place = (await server.get("/api/media/sts", user=user)).data
    signature = place["uploadUrl"].partition("signature=")[2]
    media = forger.with_header({"alg": "HS256"}, place["key"])
    for other in (login["refreshToken"], signature, media, code, user.id, user.phone, *SECRETS.values()):
        assert await try_token(server, f"Bearer {other}") == (401, 1001), other


async def test_a_malformed_token_is_refused(server: LocalServer, forger: Forger) -> None:
    user = await server.new_user()
    deep, long = base64_json(b"[" * 4500), base64_json(b'{"alg":"HS256","kid":"' + b"9" * 4000 + b'"}')
    garbage = (
        *("a", ".", "..", "...", "a.b.c", "é.é.é", "null", "." * 5000, "A" * 7000),
        *(
            f"{deep}.e30.AAAA",
            f"{base64_json({'alg': 'HS256'})}.{deep}.AAAA",
            f"{long}.e30.AAAA",
            forger.with_header([], {}),
        ),
        *(
            forger.with_header({"alg": "HS256", "kid": 5}, {}),
            forger.with_header({"alg": "HS256", "b64": False, "crit": ["b64"]}, {}),
        ),
        *(
            forger.with_header({"alg": "HS256"}, b"[" * 3000),
            forger.with_header({"alg": "HS256"}, b"9" * 5000),
            forger.with_header({"alg": "HS256"}, []),
        ),
        *(f"{user.token}A", f"{user.token}.", f"{user.token} x", user.token[:-1], user.token.swapcase()),
    )
    for token in garbage:
        assert await try_token(server, f"Bearer {token}") == (401, 1001), token[:80]
    for header in (user.token, f"Basic {user.token}", f"Token {user.token}", f"Bearer:{user.token}"):
        assert await try_token(server, header) == (401, 1001), header
    assert (await server.get(f"/api/quota?token={user.token}&access_token={user.token}")).refusal == (401, 1001)
