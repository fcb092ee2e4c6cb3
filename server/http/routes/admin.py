"""Routes for admins.

A new admin call needs its route and handler here, and its message and rules in one domain. Access.ADMIN checks the
caller's role in the database at each call, whatever the token says.
"""

from __future__ import annotations

from typing import Any

from actors.auth.actor import Auth
from actors.auth.administration import Ban, Unban
from actors.errors import UserNotFound
from actors.ids import is_id
from server.http.body import Body
from server.http.route import Access, AnyRoute, Call, NoQuery, Route, Success


class BanBody(Body):
    banned: bool


class AdminRoutes:
    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    def routes(self) -> list[AnyRoute]:
        return [Route("PUT", "/api/admin/users/{userId}/ban", self._set_ban, Access.ADMIN, BanBody)]

    async def _set_ban(self, call: Call[BanBody, NoQuery]) -> Success:
        """Ban a user, which ends the user's sessions, or lift the ban."""
        user_id = _user_id(call)
        if call.body.banned:
            await self._auth.ask(Ban(user_id))
        else:
            await self._auth.ask(Unban(user_id))
        return Success({"id": user_id, "banned": call.body.banned})


def _user_id(call: Call[Any, Any]) -> str:
    """Return the user id in the path. Raises UserNotFound if it cannot be one."""
    user_id = call.path("userId")
    if not is_id(user_id):
        raise UserNotFound
    return user_id
