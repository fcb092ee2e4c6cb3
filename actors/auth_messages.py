"""What can be asked of the auth actor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actors.kernel import Message
from storage.sends import Limit
from storage.users import Role as Role
from storage.users import User as User

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000  # milliseconds
PREFIX = 7  # digits of a number that say its network and region: 10,000 numbers share them


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """How many login codes may be sent: to a phone, to numbers of one prefix, for an address, by the whole server."""

    phone_per_minute: int
    phone_per_hour: int
    phone_per_day: int
    prefix_per_hour: int
    address_per_hour: int
    codes_per_day: int

    def of(self, phone: str, address: str) -> Sequence[Limit]:
        """What a code to this phone, asked for from this address, has to keep within."""
        return (
            Limit(f"phone:{phone}", self.phone_per_minute, MINUTE),
            Limit(f"phone:{phone}", self.phone_per_hour, HOUR),
            Limit(f"phone:{phone}", self.phone_per_day, DAY),
            Limit(f"address:{address}", self.address_per_hour, HOUR),
            Limit(f"prefix:{phone[:PREFIX]}", self.prefix_per_hour, HOUR),
            Limit("all", self.codes_per_day, DAY),
        )


@dataclass(frozen=True, slots=True)
class TestNumber:
    """A phone that gets no message: its code is always the same, until a moment (epoch milliseconds; None: always)."""

    __test__ = False  # not for pytest, whatever its name

    code: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """`signup_quota` in generations. After `failures` wrong codes in a row a phone is locked for `lock_minutes`."""

    code_secret: str
    limits: SendingLimits
    code_minutes: int = 5
    refresh_days: int = 30
    failures: int = 100
    lock_minutes: int = 60
    signup_quota: int = 0
    test_numbers: Mapping[str, TestNumber] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SendCode(Message[int]):
    """Send a login code to a canonical phone; replies how many seconds it is good for.

    Raises TooManyCodesForPhone, TooManyCodesForAddress, TooManyCodes, LoginLocked; PhoneRefused, ServiceUnavailable
    (the attempt counts all the same).
    """

    phone: str
    address: str


@dataclass(frozen=True, slots=True)
class Login:
    """`refresh_token` is shown this once. `expires_in` seconds."""

    user: User
    token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class LogIn(Message[Login]):
    """Spend a code; a new phone becomes a new user. Raises CodeWrong, LoginLocked, Banned."""

    phone: str
    code: str


@dataclass(frozen=True, slots=True)
class Refresh(Message[Login]):
    """Spend a refresh token for the next, and a fresh access token.

    Raises TooManyRefreshes, and NotLoggedIn: if the token was spent before, somebody has a copy, and the session ends.
    """

    refresh_token: str


@dataclass(frozen=True, slots=True)
class LogOut(Message[None]):
    """End a session: its tokens stop working at once."""

    session_id: str


@dataclass(frozen=True, slots=True)
class GetUser(Message[User]):
    """Raises UserNotFound."""

    user_id: str


@dataclass(frozen=True, slots=True)
class CheckAdmin(Message[None]):
    """Raises NotAllowed for whoever is not an admin now, whatever their token says."""

    user_id: str


# --- for the operator; all raise UserNotFound ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindUser(Message[User]):
    """By canonical phone."""

    phone: str


@dataclass(frozen=True, slots=True)
class SetRole(Message[None]):
    user_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class ListAdmins(Message[Sequence[User]]):
    pass


@dataclass(frozen=True, slots=True)
class Ban(Message[int]):
    """Close an account: its sessions end, and nobody logs in to it. Replies how many sessions there were."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Unban(Message[None]):
    user_id: str


@dataclass(frozen=True, slots=True)
class Unlock(Message[bool]):
    """Forget the wrong codes given for a canonical phone; replies whether there were any."""

    phone: str


@dataclass(frozen=True, slots=True)
class RotateKeys(Message[str]):
    """Sign access tokens with a new key from now on; replies its id. What was signed before stays good."""
