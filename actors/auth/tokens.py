"""Access tokens: JWT (RFC 7519) with HS256, by the best practice of RFC 8725, checked without a database.

Each names the key that signed it (`kid`) and says in its header what kind of token it is. Which sessions have ended is
known in memory: the auth actor says so as soon as it is on disk, and again at each start.
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

ALGORITHM = "HS256"  # fixed, whatever a token's header says (RFC 8725, section 3.1)
TYPE = "at+jwt"  # explicit typing (RFC 8725, section 3.11), by the name that RFC 9068 gives access tokens
ISSUER = AUDIENCE = "darkroom"
GRACE = 120  # seconds: a token may be made in the moment its session ends or its key is replaced, or by a clock ahead
REMEMBERED = 8192  # tokens, of some 500 bytes each


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from."""

    user_id: str
    phone: str
    session_id: str


class Key(NamedTuple):
    """`secret` has 32 bytes (RFC 7518, section 3.2)."""

    id: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class _Checked:
    """A token whose signature and claims are right; times in epoch seconds."""

    caller: Caller
    issued: int
    expires: int


class Tokens:
    """Makes and checks access tokens that live `seconds`. Nothing passes before `use` was called."""

    def __init__(self, seconds: int, clock: Clock) -> None:
        self._clock = clock
        self.seconds = seconds
        self._keys: dict[str, Key] = {}
        self._newest = Key("", b"")
        self._ended: set[str] = set()
        # Checking a token took 46 us, about as much as all of a bare handler's request, and its signature stays good.
        # What is refused raises, and is not remembered.
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._checked)

    def use(self, keys: Sequence[Key]) -> None:
        """Accept what these keys have signed, and sign with the last of them."""
        self._keys = {key.id: key for key in keys}
        self._newest = keys[-1]
        self._remembered.cache_clear()

    def end(self, sessions: Iterable[str]) -> None:
        """From now on refuse the tokens of these sessions."""
        self._ended.update(sessions)

    def forget(self, sessions: Iterable[str]) -> None:
        """These ended long ago: their last tokens have run out by themselves."""
        self._ended.difference_update(sessions)

    @property
    def since(self) -> int:
        """The moment (epoch milliseconds) from before which no token can be alive."""
        return self._clock.now() - (self.seconds + GRACE) * 1000

    def issue(self, caller: Caller) -> str:
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
        """Raises NotLoggedIn for whatever is not a living access token of ours."""
        checked = self._remembered(token)
        if checked.caller.session_id in self._ended or not self._alive(checked.issued, checked.expires):
            raise NotLoggedIn
        return checked.caller

    def _checked(self, token: str) -> _Checked:
        """Everything but the time and the session. Raises NotLoggedIn."""
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
                # Times are compared below, by the clock of the server; PyJWT would take the machine's.
                options={"require": ["exp", "iat", "jti"], "verify_exp": False, "verify_iat": False},
            )
            caller = Caller(user_id=claims["userId"], phone=claims["phone"], session_id=claims["sid"])
            return _Checked(caller, int(claims["iat"]), int(claims["exp"]))
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            raise NotLoggedIn from None

    def _alive(self, issued: int, expires: int) -> bool:
        now = self._clock.now() // 1000
        return now < expires <= issued + self.seconds and issued <= now + 60  # a minute for a clock that was set back
