"""What can be asked of the auth actor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.runtime import Message
from storage.auth.users import Role as Role
from storage.auth.users import User as User


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
