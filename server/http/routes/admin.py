"""Routes for admins. Whether somebody is one is asked of the database at each call, whatever their token says."""

from __future__ import annotations

from actors.auth.actor import Auth
from actors.auth.administration import Ban, Unban
from actors.errors import UserNotFound
from actors.ids import is_id
from server.http.body import Body
from server.http.route import Access, AnyRoute, Call, NoQuery, Reply, Route


class BanBody(Body):
    banned: bool


class AdminRoutes:
    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    def routes(self) -> list[AnyRoute]:
        return [Route("PUT", "/api/admin/users/{userId}/ban", self._ban, Access.ADMIN, BanBody)]

    async def _ban(self, call: Call[BanBody, NoQuery]) -> Reply:
        """Close an account, which ends its sessions, or open it again."""
        user_id = call.path("userId")
        if not is_id(user_id):
            raise UserNotFound
        if call.body.banned:
            await self._auth.ask(Ban(user_id))
        else:
            await self._auth.ask(Unban(user_id))
        return Reply({"id": user_id, "banned": call.body.banned})
