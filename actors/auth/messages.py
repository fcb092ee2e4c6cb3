"""What the auth actor can be asked about logins and users; administration.py has what admins can do."""

from __future__ import annotations

from dataclasses import dataclass

from actors.message import Message
from storage.auth.users import User as User


@dataclass(frozen=True, slots=True)
class SendCode(Message[int]):
    """Send a login code to a canonical phone; replies for how many seconds the code is valid.

    Raises TooManyCodesForPhone, TooManyCodesForAddress, TooManyCodes, LoginLocked; PhoneRefused and ServiceUnavailable
    (then the attempt counts against the limits all the same).
    """

    phone: str
    address: str


@dataclass(frozen=True, slots=True)
class LoginResult:
    """The tokens of a session. `refresh_token` is stored nowhere and returned only once. `expires_in` in seconds."""

    user: User
    token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class LogIn(Message[LoginResult]):
    """Use a login code; a new phone becomes a new user. Raises CodeWrong, LoginLocked, Banned."""

    phone: str
    code: str


@dataclass(frozen=True, slots=True)
class Refresh(Message[LoginResult]):
    """Exchange a refresh token for the next one and a new access token.

    Using a refresh token twice ends its session, because the token may have been stolen.
    Raises NotLoggedIn, TooManyRefreshes.
    """

    refresh_token: str


@dataclass(frozen=True, slots=True)
class LogOut(Message[None]):
    """End a session; its tokens stop working immediately."""

    session_id: str


@dataclass(frozen=True, slots=True)
class GetUser(Message[User]):
    """Return a user. Raises UserNotFound."""

    user_id: str


@dataclass(frozen=True, slots=True)
class CheckAdmin(Message[None]):
    """Check in the database that a user is an admin now. Raises NotAllowed."""

    user_id: str
