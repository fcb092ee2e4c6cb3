"""Sessions: opened with a login code, extended with single-use refresh tokens, ended by logout, ban or token reuse."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import structlog

from actors.auth.login_codes import consume_code
from actors.auth.messages import LoginResult, User
from actors.auth.settings import AuthSettings
from actors.auth.tokens import Caller, Tokens
from actors.durations import DAY, HOUR, seconds_to_wait
from actors.errors import Banned, CodeWrong, NotLoggedIn, TooManyRefreshes, UserNotFound
from actors.ids import new_id
from actors.ports import Clock
from actors.retention import purge_in_batches
from storage.auth import sessions, signup_gifts, users
from storage.auth.sessions import RefreshToken, Session
from storage.engine.connection import Connection
from storage.engine.database import Database

REFRESHES = 120  # of one session in an hour

log = structlog.stdlib.get_logger("darkroom.auth")


@dataclass(frozen=True, slots=True)
class _OpenSession:
    """A session that is on disk, with its user."""

    user: User
    session_id: str
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class _TokenReused:
    """A refresh token was used a second time; its session has been ended."""

    session_id: str


class Sessions:
    """Opens, refreshes and ends sessions."""

    def __init__(self, db: Database, clock: Clock, tokens: Tokens, settings: AuthSettings) -> None:
        self._db, self._clock, self._tokens, self._settings = db, clock, tokens, settings

    async def load(self) -> None:
        """Load the sessions that have ended although their access tokens have not expired yet."""
        self._tokens.end_sessions(await self._db.read(sessions.ended_ids))

    async def open(self, phone: str, digest: bytes) -> tuple[LoginResult, bool]:
        """Use a checked code; return the login, and whether the user is new. Raises CodeWrong, Banned."""
        refresh_token, now = _refresh_token(), self._clock.now()
        opened = await self._db.write(lambda c: self._open(c, phone, digest, refresh_token, now))
        assert isinstance(opened, _OpenSession), "an exception that is returned in a transaction is raised after it"
        return self._login(opened, refresh_token), opened.is_new

    async def refresh(self, used_token: str) -> LoginResult:
        """Exchange a refresh token for the next. Raises NotLoggedIn, TooManyRefreshes."""
        refresh_token, now = _refresh_token(), self._clock.now()
        outcome = await self._db.write(lambda c: self._rotate(c, _digest(used_token), _digest(refresh_token), now))
        if isinstance(outcome, _TokenReused):
            self._tokens.end_sessions([outcome.session_id])
            log.warning("a refresh token was used twice: its session was ended", session=outcome.session_id)
            raise NotLoggedIn
        return self._login(outcome, refresh_token)

    async def end(self, session_id: str) -> None:
        """End a session; its access tokens are refused immediately."""
        now = self._clock.now()
        await self._db.write(lambda connection: sessions.end(connection, session_id, now))
        self._tokens.end_sessions([session_id])

    async def ban(self, user_id: str) -> int:
        """Ban a user and end all sessions; return how many there were. Raises UserNotFound."""
        now = self._clock.now()

        def ban(connection: Connection) -> list[str]:
            if not users.set_banned(connection, user_id, now):
                raise UserNotFound
            return sessions.end_all(connection, user_id, now)

        ended = await self._db.write(ban)
        self._tokens.end_sessions(ended)
        return len(ended)

    async def purge(self) -> None:
        """Delete the sessions that cannot be continued and whose access tokens have expired."""
        before = self._tokens.oldest_valid_at

        async def purge(limit: int) -> int:
            ids = await self._db.write(lambda connection: sessions.delete_expired(connection, before, limit))
            self._tokens.clear_ended(ids)
            return len(ids)

        await purge_in_batches(purge)

    def _open(self, connection: Connection, phone: str, digest: bytes, token: str, now: int) -> _OpenSession | Banned:
        if not consume_code(connection, phone, digest):
            raise CodeWrong
        user = users.find_by_phone(connection, phone)
        if user is not None and user.banned_at is not None:
            return Banned()  # returned and not raised, so that the code stays used
        is_new = user is None
        user = user or self._add_user(connection, phone, now)
        session = Session(new_id(), user.id, now, self._expiry(now))
        sessions.add(connection, session, _digest(token))
        return _OpenSession(user, session.id, is_new)

    def _add_user(self, connection: Connection, phone: str, now: int) -> User:
        user = User(new_id(), phone, now)
        users.add(connection, user)
        if self._settings.signup_quota:
            signup_gifts.add(connection, user.id, self._settings.signup_quota, now)
        return user

    def _rotate(self, connection: Connection, used: bytes, fresh: bytes, now: int) -> _OpenSession | _TokenReused:
        token = sessions.find_token(connection, used)
        if token is None or token.has_ended or token.expires_at <= now:
            raise NotLoggedIn
        if token.is_used:
            sessions.end(connection, token.session_id, now)
            return _TokenReused(token.session_id)  # returned and not raised, so that the session stays ended
        updated = _count_refresh(token, now)._replace(expires_at=self._expiry(now))
        user = users.find(connection, token.user_id)
        assert user is not None, "every session refers to an existing user"
        sessions.rotate(connection, used, fresh, now, updated)
        return _OpenSession(user, token.session_id)

    def _expiry(self, now: int) -> int:
        return now + self._settings.refresh_days * DAY

    def _login(self, opened: _OpenSession, refresh_token: str) -> LoginResult:
        user = opened.user
        token = self._tokens.issue(Caller(user.id, user.phone, opened.session_id))
        return LoginResult(user, token, refresh_token, self._tokens.seconds)


def _count_refresh(token: RefreshToken, now: int) -> RefreshToken:
    """Return the token with this refresh counted. Raises TooManyRefreshes.

    There is a limit because each refresh leaves a row: without it one login could fill the disk.
    """
    remaining = token.counted_from + HOUR - now
    if not 0 < remaining <= HOUR:
        return token._replace(refreshes=1, counted_from=now)
    if token.refreshes >= REFRESHES:
        raise TooManyRefreshes(limit=REFRESHES, retry_after=seconds_to_wait(remaining))
    return token._replace(refreshes=token.refreshes + 1)


def _refresh_token() -> str:
    """Make a refresh token. Its prefix lets scanners for leaked secrets, and our own log, recognize it."""
    return f"rt_{secrets.token_urlsafe(32)}"


def _digest(refresh_token: str) -> bytes:
    """Return the digest that is stored. It needs no secret key, because 256 random bits cannot be guessed."""
    return hashlib.sha256(refresh_token.encode("utf-8", "surrogateescape")).digest()
