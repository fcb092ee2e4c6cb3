"""Sessions: opened by a right code, carried on by refresh tokens that are good once, ended for good."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import structlog

from actors.auth.login_codes import spend
from actors.auth.messages import Login, User
from actors.auth.settings import AuthSettings
from actors.auth.tokens import Caller, Tokens
from actors.durations import DAY, HOUR, seconds_to_wait
from actors.errors import Banned, CodeWrong, NotLoggedIn, TooManyRefreshes, UserNotFound
from actors.ids import new_id
from actors.ports import Clock
from actors.retention import in_batches
from storage.auth import sessions, signup_gifts, users
from storage.auth.sessions import RefreshToken, Session
from storage.engine.connection import Connection
from storage.engine.database import Database

REFRESHES = 120  # of a session in an hour

log = structlog.stdlib.get_logger("darkroom.auth")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A session as it is on disk, with the person it belongs to."""

    user: User
    session_id: str
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class _Reused:
    """Somebody came with a refresh token that was spent before."""

    session_id: str


class Sessions:
    def __init__(self, db: Database, clock: Clock, tokens: Tokens, settings: AuthSettings) -> None:
        self._db, self._clock, self._tokens, self._settings = db, clock, tokens, settings

    async def load(self) -> None:
        """Tell apart the sessions that have ended while their access tokens live."""
        self._tokens.end(await self._db.read(sessions.ended_ids))

    async def open(self, phone: str, digest: bytes) -> tuple[Login, bool]:
        """Spend a code that was found right; the login, and whether the person is new. Raises CodeWrong, Banned."""
        refresh_token, now = _refresh_token(), self._clock.now()
        opened = await self._db.write(lambda c: self._open(c, phone, digest, refresh_token, now))
        assert isinstance(opened, _Opened), "an exception that is returned in a transaction is raised after it"
        return self._login(opened, refresh_token), opened.is_new

    async def refresh(self, spent: str) -> Login:
        """Raises NotLoggedIn."""
        refresh_token, now = _refresh_token(), self._clock.now()
        outcome = await self._db.write(lambda c: self._rotate(c, _digest(spent), _digest(refresh_token), now))
        if isinstance(outcome, _Reused):
            self._tokens.end([outcome.session_id])
            log.warning("a spent refresh token came again: its session ends", session=outcome.session_id)
            raise NotLoggedIn
        return self._login(outcome, refresh_token)

    async def end(self, session_id: str) -> None:
        now = self._clock.now()
        await self._db.write(lambda connection: sessions.end(connection, session_id, now))
        self._tokens.end([session_id])

    async def ban(self, user_id: str) -> int:
        """Close an account; how many sessions that has ended. Raises UserNotFound."""
        now = self._clock.now()

        def ban(connection: Connection) -> list[str]:
            if not users.set_banned(connection, user_id, now):
                raise UserNotFound
            return sessions.end_all(connection, user_id, now)

        ended = await self._db.write(ban)
        self._tokens.end(ended)
        return len(ended)

    async def forget(self) -> None:
        """Sessions nobody can carry on any more, and whose access tokens have run out."""
        before = self._tokens.since

        async def forget(limit: int) -> int:
            ids = await self._db.write(lambda connection: sessions.delete_expired(connection, before, limit))
            self._tokens.forget(ids)
            return len(ids)

        await in_batches(forget)

    def _open(self, connection: Connection, phone: str, digest: bytes, token: str, now: int) -> _Opened | Banned:
        if not spend(connection, phone, digest):
            raise CodeWrong
        user = users.find_by_phone(connection, phone)
        if user is not None and user.banned_at is not None:
            return Banned()  # not raised: the code stays spent
        is_new = user is None
        user = user or self._add_person(connection, phone, now)
        session = Session(new_id(), user.id, now, self._end(now))
        sessions.add(connection, session, _digest(token))
        return _Opened(user, session.id, is_new)

    def _add_person(self, connection: Connection, phone: str, now: int) -> User:
        user = User(new_id(), phone, now)
        users.add(connection, user)
        if self._settings.signup_quota:
            signup_gifts.add(connection, user.id, self._settings.signup_quota, now)
        return user

    def _rotate(self, connection: Connection, spent: bytes, fresh: bytes, now: int) -> _Opened | _Reused:
        token = sessions.find_token(connection, spent)
        if token is None or token.has_ended or token.expires_at <= now:
            raise NotLoggedIn
        if token.is_used:
            sessions.end(connection, token.session_id, now)
            return _Reused(token.session_id)  # not raised: the end has to stay
        after = _counted(token, now)._replace(expires_at=self._end(now))
        user = users.find(connection, token.user_id)
        assert user is not None, "a session refers to its person"
        sessions.rotate(connection, spent, fresh, now, after)
        return _Opened(user, token.session_id)

    def _end(self, now: int) -> int:
        return now + self._settings.refresh_days * DAY

    def _login(self, opened: _Opened, refresh_token: str) -> Login:
        user = opened.user
        token = self._tokens.issue(Caller(user.id, user.phone, opened.session_id))
        return Login(user, token, refresh_token, self._tokens.seconds)


def _counted(token: RefreshToken, now: int) -> RefreshToken:
    """With this refresh counted. Each leaves a row: without a limit one login could fill the disk.

    Raises TooManyRefreshes.
    """
    left = token.counted_from + HOUR - now
    if not 0 < left <= HOUR:
        return token._replace(refreshes=1, counted_from=now)
    if token.refreshes >= REFRESHES:
        raise TooManyRefreshes(limit=REFRESHES, retry_after=seconds_to_wait(left))
    return token._replace(refreshes=token.refreshes + 1)


def _refresh_token() -> str:
    """Begins with what scanners for leaked secrets, and our own log, know it by."""
    return f"rt_{secrets.token_urlsafe(32)}"


def _digest(refresh_token: str) -> bytes:
    """Without a key: 256 random bits are not guessed."""
    return hashlib.sha256(refresh_token.encode("utf-8", "surrogateescape")).digest()
