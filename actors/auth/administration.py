"""What the operator and admins can do with users, and with the keys that sign access tokens.

A new call needs a message and a handler here, and a route in server/http/routes/admin.py or a command of the operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from actors.auth.sessions import Sessions
from actors.auth.signing_keys import SigningKeys
from actors.errors import UserNotFound
from actors.message import Message
from actors.runtime import Actor
from storage.auth import login_failures, users
from storage.auth.users import Role as Role
from storage.auth.users import User
from storage.engine.database import Database

log = structlog.stdlib.get_logger("darkroom.auth")


@dataclass(frozen=True, slots=True)
class GetUserByPhone(Message[User]):
    """Return the user with a canonical phone. Raises UserNotFound."""

    phone: str


@dataclass(frozen=True, slots=True)
class GetPhones(Message[Mapping[str, str]]):
    """Return the phones of users, by user id."""

    user_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class SetRole(Message[None]):
    """Give a user a role. Raises UserNotFound."""

    user_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class ListAdmins(Message[Sequence[User]]):
    """Return all users whose role is admin."""


@dataclass(frozen=True, slots=True)
class Ban(Message[int]):
    """End all sessions of a user and refuse further logins. Replies how many sessions ended. Raises UserNotFound."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Unban(Message[None]):
    """Let a banned user log in again. Raises UserNotFound."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Unlock(Message[bool]):
    """Clear the wrong codes counted for a canonical phone. Replies whether there were any."""

    phone: str


@dataclass(frozen=True, slots=True)
class RotateKeys(Message[str]):
    """Sign access tokens with a new key from now on; replies its id. Tokens signed before stay valid."""


class Administration:
    """Handles the messages of this module for the auth actor."""

    def __init__(self, actor: Actor, db: Database, sessions: Sessions, keys: SigningKeys) -> None:
        self._db, self._sessions, self._keys = db, sessions, keys
        actor.on(GetUserByPhone, self._find_user)
        actor.on(GetPhones, self._get_phones)
        actor.on(SetRole, self._set_role)
        actor.on(ListAdmins, self._list_admins)
        actor.on(Ban, self._ban)
        actor.on(Unban, self._unban)
        actor.on(Unlock, self._unlock)
        actor.on(RotateKeys, self._rotate_keys)

    async def _find_user(self, query: GetUserByPhone) -> User:
        user = await self._db.fetch(lambda connection: users.find_by_phone(connection, query.phone))
        if user is None:
            raise UserNotFound
        return user

    async def _get_phones(self, query: GetPhones) -> Mapping[str, str]:
        return await self._db.fetch(lambda connection: users.phones(connection, query.user_ids))

    async def _set_role(self, command: SetRole) -> None:
        if not await self._db.write(lambda connection: users.set_role(connection, command.user_id, command.role)):
            raise UserNotFound
        log.warning("the role of a user was changed", user=command.user_id, role=command.role.value)

    async def _list_admins(self, _: ListAdmins) -> Sequence[User]:
        return await self._db.fetch(users.admins)

    async def _ban(self, command: Ban) -> int:
        ended = await self._sessions.ban(command.user_id)
        log.warning("a user was banned", user=command.user_id, sessions=ended)
        return ended

    async def _unban(self, command: Unban) -> None:
        if not await self._db.write(lambda connection: users.set_banned(connection, command.user_id, None)):
            raise UserNotFound
        log.warning("a user was unbanned", user=command.user_id)

    async def _unlock(self, command: Unlock) -> bool:
        return await self._db.write(lambda connection: login_failures.clear(connection, command.phone))

    async def _rotate_keys(self, _: RotateKeys) -> str:
        key_id = await self._keys.rotate()
        log.warning("access tokens are signed with a new key", key=key_id)
        return key_id
