"""The auth actor: who somebody is. Logins by a code sent to the phone, sessions, roles.

Each part is a plain class over the database; the actor gives them their turns, and its jobs their time.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from actors.auth.login_codes import LoginCodes
from actors.auth.messages import (
    Ban,
    CheckAdmin,
    FindUser,
    GetUser,
    ListAdmins,
    LogIn,
    Login,
    LogOut,
    Refresh,
    Role,
    RotateKeys,
    SendCode,
    SetRole,
    Unban,
    Unlock,
    User,
)
from actors.auth.sessions import Sessions
from actors.auth.settings import AuthSecrets, AuthSettings
from actors.auth.signing_keys import SigningKeys
from actors.auth.tokens import Tokens
from actors.errors import CommitFailed, NotAllowed, Overloaded, StorageError, UserNotFound
from actors.ports import Clock, SmsSender
from actors.quota.actor import Gift, Quota
from actors.retention import PurgeJob
from actors.runtime import Actor
from storage.auth import login_failures, users
from storage.engine.database import Database

log = structlog.stdlib.get_logger("darkroom.auth")


class Auth(Actor):
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
        self._gives = settings.signup_quota > 0
        self.on(SendCode, self._send_code)
        self.on(LogIn, self._log_in)
        self.on(Refresh, lambda message: self._sessions.refresh(message.refresh_token))
        self.on(LogOut, lambda message: self._sessions.end(message.session_id))
        self.on(GetUser, lambda message: self._user(message.user_id))
        self.on(CheckAdmin, self._check_admin)
        self._register_operator()
        PurgeJob(self, self._forget)

    def _register_operator(self) -> None:
        self.on(FindUser, self._find_user)
        self.on(SetRole, self._set_role)
        self.on(ListAdmins, self._list_admins)
        self.on(Ban, self._ban)
        self.on(Unban, self._unban)
        self.on(Unlock, self._unlock)
        self.on(RotateKeys, self._rotate_keys)

    async def load(self) -> None:
        """To be called before the first request: the keys, and the sessions that have ended."""
        await self._keys.load()
        await self._sessions.load()

    async def _send_code(self, wanted: SendCode) -> object:
        # Counted inside the job, so that a request refused for want of a job has used nothing up.
        return self.start_job(self._codes.send(wanted.phone, wanted.address))

    async def _log_in(self, attempt: LogIn) -> Login:
        digest = await self._codes.check(attempt.phone, attempt.code)
        login, is_new = await self._sessions.open(attempt.phone, digest)
        if is_new and self._gives:
            await self._give(login.user)
        return login

    async def _give(self, user: User) -> None:
        """The gift is promised on disk: should this fail, the quota actor finds it later."""
        try:
            await self._quota.ask(Gift(user.id))
        except (Overloaded, StorageError, CommitFailed) as fault:
            log.warning("a signup gift comes later", user=user.id, fault=repr(fault))

    async def _user(self, user_id: str) -> User:
        user = await self._db.fetch(lambda connection: users.find(connection, user_id))
        if user is None:
            raise UserNotFound
        return user

    async def _check_admin(self, check: CheckAdmin) -> None:
        if (await self._user(check.user_id)).role is not Role.ADMIN:
            raise NotAllowed

    async def _find_user(self, query: FindUser) -> User:
        user = await self._db.fetch(lambda connection: users.find_by_phone(connection, query.phone))
        if user is None:
            raise UserNotFound
        return user

    async def _set_role(self, wanted: SetRole) -> None:
        if not await self._db.write(lambda connection: users.set_role(connection, wanted.user_id, wanted.role)):
            raise UserNotFound
        log.warning("a role was changed", user=wanted.user_id, role=wanted.role.value)

    async def _list_admins(self, _: ListAdmins) -> Sequence[User]:
        return await self._db.fetch(users.admins)

    async def _ban(self, wanted: Ban) -> int:
        ended = await self._sessions.ban(wanted.user_id)
        log.warning("an account was closed", user=wanted.user_id, sessions=ended)
        return ended

    async def _unban(self, wanted: Unban) -> None:
        if not await self._db.write(lambda connection: users.set_banned(connection, wanted.user_id, None)):
            raise UserNotFound
        log.warning("an account was opened again", user=wanted.user_id)

    async def _unlock(self, wanted: Unlock) -> bool:
        return await self._db.write(lambda connection: login_failures.clear(connection, wanted.phone))

    async def _rotate_keys(self, _: RotateKeys) -> str:
        key_id = await self._keys.rotate()
        log.warning("access tokens are signed with a new key", key=key_id)
        return key_id

    async def _forget(self) -> None:
        await self._db.write(self._codes.forget)
        await self._sessions.forget()
