"""The auth actor: logins by a code sent to the phone, sessions, roles.

Login codes, sessions, signing keys and administration are plain classes over the database; the actor runs them in its
turns and jobs.
"""

from __future__ import annotations

import structlog

from actors.auth.administration import Administration, Role
from actors.auth.login_codes import LoginCodes
from actors.auth.messages import CheckAdmin, GetUser, LogIn, LoginResult, LogOut, Refresh, SendCode, User
from actors.auth.sessions import Sessions
from actors.auth.settings import AuthSecrets, AuthSettings
from actors.auth.signing_keys import SigningKeys
from actors.auth.tokens import Tokens
from actors.errors import CommitFailed, NotAllowed, Overloaded, StorageError, UserNotFound
from actors.ports import Clock, SmsSender
from actors.quota.actor import Quota
from actors.quota.commands import Gift
from actors.retention import purge_periodically
from actors.runtime import Actor
from storage.auth import users
from storage.engine.database import Database

log = structlog.stdlib.get_logger("darkroom.auth")


class Auth(Actor):
    """The auth actor."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        quota: Quota,
        sms: SmsSender,
        tokens: Tokens,
        secrets: AuthSecrets,
        settings: AuthSettings,
    ) -> None:
        super().__init__()
        self._db, self._quota = db, quota
        self._codes = LoginCodes(db, clock, sms, secrets.code, settings)
        self._sessions = Sessions(db, clock, tokens, settings)
        self._keys = SigningKeys(db, clock, tokens, secrets.token)
        self._has_signup_gift = settings.signup_quota > 0
        self.on(SendCode, self._send_code)
        self.on(LogIn, self._log_in)
        self.on(Refresh, lambda message: self._sessions.refresh(message.refresh_token))
        self.on(LogOut, lambda message: self._sessions.end(message.session_id))
        self.on(GetUser, lambda message: self._get_user(message.user_id))
        self.on(CheckAdmin, self._check_admin)
        Administration(self, db, self._sessions, self._keys)
        purge_periodically(self, self._purge)

    async def load(self) -> None:
        """Load the signing keys and the ended sessions. To be called before the first request."""
        await self._keys.load()
        await self._sessions.load()

    async def _send_code(self, request: SendCode) -> object:
        # The job itself counts the code, so that a request that gets no job does not count against the limits.
        return self.start_job(self._codes.send(request.phone, request.address))

    async def _log_in(self, attempt: LogIn) -> LoginResult:
        digest = await self._codes.check(attempt.phone, attempt.code)
        login, is_new = await self._sessions.open(attempt.phone, digest)
        if is_new and self._has_signup_gift:
            await self._grant_signup_gift(login.user)
        return login

    async def _grant_signup_gift(self, user: User) -> None:
        """Grant the promised gift. If this fails, the quota actor does it later: the promise is on disk."""
        try:
            await self._quota.ask(Gift(user.id))
        except (Overloaded, StorageError, CommitFailed) as fault:
            log.warning("a signup gift will be granted later", user=user.id, fault=repr(fault))

    async def _get_user(self, user_id: str) -> User:
        user = await self._db.fetch(lambda connection: users.find(connection, user_id))
        if user is None:
            raise UserNotFound
        return user

    async def _check_admin(self, check: CheckAdmin) -> None:
        if (await self._get_user(check.user_id)).role is not Role.ADMIN:
            raise NotAllowed

    async def _purge(self) -> None:
        await self._db.write(self._codes.purge)
        await self._sessions.purge()
