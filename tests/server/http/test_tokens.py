"""Access tokens: every call for people wants one, and only a living one of ours is one."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from typing import Any

import jwt
import pytest

from actors.auth.signing_keys import derive_key
from actors.auth.tokens import Key
from storage.auth import signing_keys
from tests.support.server import SECRETS, LocalServer, User

DAY = 86_400
WITH_TOKEN_ONLY = [
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


def part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Forger:
    """Somebody user knows the server's newest key."""

    key: Key

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "HS256", "typ": "at+jwt", "kid": self.key.id}

    def signed(self, claims: dict[str, Any], secret: bytes | str | None = None) -> str:
        return jwt.encode(claims, secret or self.key.secret, "HS256", headers={"kid": self.key.id, "typ": "at+jwt"})

    def by_hand(self, header: object, claims: object, digest: str = "sha256") -> str:
        """A token with any header, signed with the right secret; what a dict lacks is put in as it should be."""
        full = {**self.header, **header} if isinstance(header, dict) else header
        return self.exactly(full, claims, digest)

    def exactly(self, header: object, claims: object, digest: str = "sha256") -> str:
        text = f"{part(header)}.{part(claims)}"
        return f"{text}.{part(hmac.digest(self.key.secret, text.encode(), digest))}"


@pytest.fixture
async def forger(server: LocalServer) -> Forger:
    keys = await server.system._db.read(signing_keys.load)
    return Forger(Key(keys[-1].id, derive_key(SECRETS["token"].encode(), keys[-1].salt)))


def claims_of(user: User) -> dict[str, Any]:
    return dict(jwt.decode(user.token, options={"verify_signature": False}))


async def tried(server: LocalServer, authorization: str | None) -> tuple[int, int]:
    answer = await server.get("/api/quota", headers={} if authorization is None else {"Authorization": authorization})
    return (200, 0) if answer.status == 200 else answer.refusal


@pytest.mark.parametrize("method, path", WITH_TOKEN_ONLY)
async def test_no_token_no_answer(server: LocalServer, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"Cookie": "token=x"}):
        assert (await server.call(method, path, {"garbage": [1]}, headers=headers)).refusal == (401, 1001)


async def test_the_claims_are_as_the_contract_says(server: LocalServer, forger: Forger) -> None:
    person = await server.new_user("13800138000")
    claims = claims_of(person)
    assert (claims["userId"], claims["phone"]) == (person.id, "13800138000")
    assert claims["exp"] - claims["iat"] == 7 * DAY
    assert jwt.get_unverified_header(person.token)["alg"] == "HS256"
    for good in (forger.signed(claims), forger.by_hand({"cty": "JWT"}, claims)):
        assert await tried(server, f"Bearer {good}") == (200, 0), "or the forgeries below prove nothing"
    assert await tried(server, f"bearer {person.token}") == (200, 0), "the scheme's case does not matter (RFC 9110)"


async def test_another_algorithm_or_secret_is_refused(server: LocalServer, forger: Forger) -> None:
    claims = claims_of(await server.new_user())
    unsigned = [f"{part({**forger.header, 'alg': name})}.{part(claims)}." for name in ("none", "None", "nOnE", "")]
    named_only = [
        forger.by_hand({"alg": name}, claims) for name in ("none", "HS384", "RS256", "ES256", "", None, 5, ["HS256"])
    ]
    others = [forger.signed(claims, secret) for name, secret in SECRETS.items() if name != "token"]
    truly = [forger.by_hand({"alg": "HS384"}, claims, "sha384"), forger.by_hand({"alg": "HS512"}, claims, "sha512")]
    for forged in (
        *unsigned,
        *named_only,
        *others,
        *truly,
        forger.exactly({}, claims),
        forger.by_hand({"alg": "HS256"}, claims, "sha1"),
    ):
        assert await tried(server, f"Bearer {forged}") == (401, 1001), forged


@pytest.mark.parametrize("missing", ["exp", "iat", "jti", "iss", "aud", "userId", "phone", "sid"])
async def test_a_claim_that_is_missing_or_null_makes_it_none(server: LocalServer, forger: Forger, missing: str) -> None:
    claims = claims_of(await server.new_user())
    del claims[missing]
    assert await tried(server, f"Bearer {forger.signed(claims)}") == (401, 1001)
    if missing not in ("userId", "phone", "sid"):  # which are read only after everything else was right
        assert await tried(server, f"Bearer {forger.by_hand({'alg': 'HS256'}, {**claims, missing: None})}") == (
            401,
            1001,
        )


@pytest.mark.parametrize(
    "claim, values",
    [
        ("iss", ["", "someone", "Darkroom", 5, ["darkroom"]]),
        ("aud", ["", "someone", "darkroom-admin", 5, ["someone"], {}]),
        ("iat", ["yesterday", 1e300, {}, [1]]),
        ("exp", ["later", "99999999999", 0, -1, 1e300, [], {}]),
    ],
)
async def test_a_claim_with_another_value_makes_it_none(
    server: LocalServer, forger: Forger, claim: str, values: list[object]
) -> None:
    claims = claims_of(await server.new_user())
    for value in values:
        forged = forger.by_hand({"alg": "HS256"}, {**claims, claim: value})
        assert await tried(server, f"Bearer {forged}") == (401, 1001), value


@pytest.mark.parametrize(
    "header",
    [
        *({"typ": kind} for kind in ("", "JWT", "jwt", "rt+jwt", "access", None, 1, ["at+jwt"])),
        *({"kid": key} for key in ("", "another", None, 1, ["x"], "../../etc/passwd", "' OR 1=1 --")),
        *({"crit": names} for names in ([], ["exp"], "exp")),
    ],
    ids=str,
)
async def test_a_header_with_another_value_makes_it_none(
    server: LocalServer, forger: Forger, header: dict[str, object]
) -> None:
    """Another kind of token, or one that names another key, however well it is signed."""
    claims = claims_of(await server.new_user())
    assert await tried(server, f"Bearer {forger.by_hand({}, claims)}") == (200, 0)
    assert await tried(server, f"Bearer {forger.by_hand(header, claims)}") == (401, 1001)


@pytest.mark.parametrize("missing", ["alg", "typ", "kid"])
async def test_a_header_that_lacks_something_makes_it_none(server: LocalServer, forger: Forger, missing: str) -> None:
    header = {name: value for name, value in forger.header.items() if name != missing}
    assert await tried(server, f"Bearer {forger.exactly(header, claims_of(await server.new_user()))}") == (401, 1001)


async def test_a_token_lives_seven_days_and_never_longer(server: LocalServer, forger: Forger) -> None:
    person = await server.new_user()
    claims = claims_of(person)
    for changed in ({"exp": claims["exp"] + 1}, {"exp": claims["exp"] + 3650 * DAY}, {"iat": claims["iat"] + 3600}):
        assert await tried(server, f"Bearer {forger.signed({**claims, **changed})}") == (401, 1001), changed
    server.clock.advance(seconds=7 * DAY - 1)
    assert await tried(server, f"Bearer {person.token}") == (200, 0)
    server.clock.advance(seconds=1)
    assert await tried(server, f"Bearer {person.token}") == (401, 1001)


async def test_nobody_becomes_somebody_else(server: LocalServer) -> None:
    victim, attacker = await server.new_user(), await server.new_user()
    header, _, signature = attacker.token.split(".")
    stolen = f"{header}.{part({**claims_of(attacker), 'userId': victim.id})}.{signature}"
    assert await tried(server, f"Bearer {stolen}") == (401, 1001)


async def test_other_secrets_of_ours_are_no_token(server: LocalServer, forger: Forger) -> None:
    await server.request_code("13800138000")
    person = await server.new_user("13900139000")
    code = await server.request_code("13900139000")
    login = (await server.post("/api/auth/login", {"phone": "13900139000", "code": code})).data
    place = (await server.get("/api/media/sts", user=person)).data
    signature = place["uploadUrl"].partition("signature=")[2]
    media = forger.by_hand({"alg": "HS256"}, place["key"])
    for other in (login["refreshToken"], signature, media, code, person.id, person.phone, *SECRETS.values()):
        assert await tried(server, f"Bearer {other}") == (401, 1001), other


async def test_garbage_is_no_token(server: LocalServer, forger: Forger) -> None:
    person = await server.new_user()
    deep, long = part(b"[" * 4500), part(b'{"alg":"HS256","kid":"' + b"9" * 4000 + b'"}')
    garbage = (
        *("a", ".", "..", "...", "a.b.c", "é.é.é", "null", "." * 5000, "A" * 7000),
        *(f"{deep}.e30.AAAA", f"{part({'alg': 'HS256'})}.{deep}.AAAA", f"{long}.e30.AAAA", forger.by_hand([], {})),
        *(
            forger.by_hand({"alg": "HS256", "kid": 5}, {}),
            forger.by_hand({"alg": "HS256", "b64": False, "crit": ["b64"]}, {}),
        ),
        *(
            forger.by_hand({"alg": "HS256"}, b"[" * 3000),
            forger.by_hand({"alg": "HS256"}, b"9" * 5000),
            forger.by_hand({"alg": "HS256"}, []),
        ),
        *(f"{person.token}A", f"{person.token}.", f"{person.token} x", person.token[:-1], person.token.swapcase()),
    )
    for token in garbage:
        assert await tried(server, f"Bearer {token}") == (401, 1001), token[:80]
    for header in (person.token, f"Basic {person.token}", f"Token {person.token}", f"Bearer:{person.token}"):
        assert await tried(server, header) == (401, 1001), header
    assert (await server.get(f"/api/quota?token={person.token}&access_token={person.token}")).refusal == (401, 1001)
