"""Access tokens: JWT (RFC 7519) with HS256, by the best practice of RFC 8725, checked without a database.

The header of a token names the key that signed it (`kid`) and its type. The sessions that have ended are held in
memory: the auth actor adds each one as soon as it is on disk, and all of them at every start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import jwt

from actors.errors import NotLoggedIn
from actors.ids import new_id
from actors.ports import Clock

ALGORITHM = "HS256"  # a token's header cannot choose another one (RFC 8725, section 3.1)
TYPE = "at+jwt"  # explicit typing (RFC 8725, section 3.11), with the name from RFC 9068
ISSUER = AUDIENCE = "darkroom"
CLOCK_TOLERANCE = 120  # seconds, for tokens made while their session ends or their key is replaced, or by a clock ahead
CACHED_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Caller:
    """The user and the session that send a request."""

    user_id: str
    phone: str
    session_id: str


class TokenKey(NamedTuple):
    """A key that signs access tokens. `secret` has 32 bytes (RFC 7518, section 3.2)."""

    id: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class _Claims:
    """The claims of a token whose signature is right; times in epoch seconds."""

    caller: Caller
    issued_at: int
    expires_at: int


class Tokens:
    """Issues and verifies access tokens that are valid for `seconds`. Until `use_keys` is called, none is valid."""

    def __init__(self, seconds: int, clock: Clock) -> None:
        self._clock = clock
        self.seconds = seconds
        self._keys: dict[str, TokenKey] = {}
        self._newest = TokenKey("", b"")
        self._ended: set[str] = set()
        # Checking a signature costs about as much as the rest of a request, and its result never changes. A refusal is
        # raised, so it is not cached.
        self._check_cached = lru_cache(maxsize=CACHED_TOKENS)(self._check)

    def use_keys(self, keys: Sequence[TokenKey]) -> None:
        """Accept tokens signed by any of these keys, and sign with the last of them."""
        self._keys = {key.id: key for key in keys}
        self._newest = keys[-1]
        self._check_cached.cache_clear()

    def end_sessions(self, sessions: Iterable[str]) -> None:
        """Refuse the tokens of these sessions from now on."""
        self._ended.update(sessions)

    def clear_ended(self, sessions: Iterable[str]) -> None:
        """Clear sessions that ended so long ago that all their tokens have expired."""
        self._ended.difference_update(sessions)

    @property
    def oldest_valid_at(self) -> int:
        """The time (epoch milliseconds) before which no token that is still valid was issued."""
        return self._clock.now() - (self.seconds + CLOCK_TOLERANCE) * 1000

    def issue(self, caller: Caller) -> str:
        """Sign a new access token."""
        now = self._clock.now() // 1000
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": caller.user_id,
            "jti": new_id(),
            "sid": caller.session_id,
            "iat": now,
            "exp": now + self.seconds,
            "userId": caller.user_id,
            "phone": caller.phone,
        }
        headers = {"kid": self._newest.id, "typ": TYPE}
        return jwt.encode(claims, self._newest.secret, algorithm=ALGORITHM, headers=headers)

    def verify(self, token: str) -> Caller:
        """Return the caller of a valid access token. Raises NotLoggedIn."""
        claims = self._check_cached(token)
        if claims.caller.session_id in self._ended or not self._is_valid_now(claims.issued_at, claims.expires_at):
            raise NotLoggedIn
        return claims.caller

    def _check(self, token: str) -> _Claims:
        """Check everything but the time and the session. Raises NotLoggedIn."""
        try:
            header = jwt.get_unverified_header(token)
            if header["typ"] != TYPE or "crit" in header:
                raise NotLoggedIn
            claims = jwt.decode(
                token,
                self._keys[header["kid"]].secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # `verify` compares the times by the server's clock; PyJWT would use the clock of the machine.
                options={"require": ["exp", "iat", "jti"], "verify_exp": False, "verify_iat": False},
            )
            caller = Caller(user_id=claims["userId"], phone=claims["phone"], session_id=claims["sid"])
            return _Claims(caller, int(claims["iat"]), int(claims["exp"]))
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            raise NotLoggedIn from None

    def _is_valid_now(self, issued_at: int, expires_at: int) -> bool:
        now = self._clock.now() // 1000
        # A minute is allowed for a clock that was set back.
        return now < expires_at <= issued_at + self.seconds and issued_at <= now + 60
