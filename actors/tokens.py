"""Access tokens: JWT (RFC 7519) with HS256, checked without a database."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jwt

from actors.errors import NotLoggedIn
from actors.ids import new_id
from actors.ports import Clock

ALGORITHM = "HS256"  # fixed, whatever a token's header says (RFC 8725, section 3.1)
ISSUER = AUDIENCE = "darkroom"
REMEMBERED = 8192  # tokens, of some 500 bytes each


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from."""

    user_id: str
    phone: str
    session_id: str


@dataclass(frozen=True, slots=True)
class _Checked:
    """A token whose signature and claims are right; times in epoch seconds."""

    caller: Caller
    issued: int
    expires: int


class Tokens:
    """Makes and checks access tokens that live `seconds`. `secret` has at least 32 bytes (RFC 7518, section 3.2)."""

    def __init__(self, secret: str, seconds: int, clock: Clock) -> None:
        self._secret, self._clock = secret, clock
        self.seconds = seconds
        # Checking a token took 46 us, about as much as all of a bare handler's request, and its signature stays good.
        # What is refused raises, and is not remembered.
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._checked)

    def issue(self, caller: Caller) -> str:
        now = self._clock.now() // 1000
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": caller.user_id,
            "jti": new_id(),
            "sid": caller.session_id,
            "typ": "access",
            "iat": now,
            "exp": now + self.seconds,
            "userId": caller.user_id,
            "phone": caller.phone,
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def verify(self, token: str) -> Caller:
        """Raises NotLoggedIn for whatever is not a living access token of ours."""
        checked = self._remembered(token)
        if not self._alive(checked.issued, checked.expires):
            raise NotLoggedIn
        return checked.caller

    def _checked(self, token: str) -> _Checked:
        """Everything but the time. Raises NotLoggedIn."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Times are compared below, by the clock of the server; PyJWT would take the machine's.
                options={"require": ["exp", "iat", "jti"], "verify_exp": False, "verify_iat": False},
            )
            if claims["typ"] != "access":
                raise NotLoggedIn
            caller = Caller(user_id=claims["userId"], phone=claims["phone"], session_id=claims["sid"])
            return _Checked(caller, int(claims["iat"]), int(claims["exp"]))
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            raise NotLoggedIn from None

    def _alive(self, issued: int, expires: int) -> bool:
        now = self._clock.now() // 1000
        return now < expires <= issued + self.seconds and issued <= now + 60  # a minute for a clock that was set back
