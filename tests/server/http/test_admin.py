"""The calls for admins, and the check of the admin role at each call."""

from __future__ import annotations

import pytest

from actors.auth.administration import Role, SetRole
from tests.support.server import ApiUser, LocalServer


async def ban(server: LocalServer, user: ApiUser | None, target: str, banned: object = True) -> tuple[int, int]:
    response = await server.put(f"/api/admin/users/{target}/ban", {"banned": banned}, user=user)
    return (200, 0) if response.status == 200 else response.refusal


async def test_an_admin_bans_and_unbans_a_user(server: LocalServer) -> None:
    admin, other = await server.new_user(), await server.new_user()
    await server.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    assert await ban(server, admin, other.id) == (200, 0)
    assert (await server.get("/api/quota", user=other)).refusal == (401, 1001)
    assert await ban(server, admin, other.id, False) == (200, 0)
    assert (await server.log_in(other.phone)).id == other.id


async def test_the_admin_role_is_read_from_the_database_at_each_call(server: LocalServer) -> None:
    admin, other = await server.new_user(), await server.new_user()
    assert await ban(server, admin, other.id) == (403, 4003)
    await server.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    assert await ban(server, admin, other.id, False) == (200, 0), "with the token from before the change"
    await server.system._auth.ask(SetRole(admin.id, Role.USER))
    assert await ban(server, admin, other.id) == (403, 4003)
    assert (await server.get("/api/quota", user=other)).status == 200


async def test_only_an_admin_may_ban_a_user(server: LocalServer) -> None:
    user = await server.new_user()
    assert await ban(server, user, user.id) == (403, 4003)
    assert await ban(server, None, user.id) == (401, 1001)
    response = await server.put(f"/api/admin/users/{user.id}/ban", raw=b"no json", user=user)
    assert response.refusal == (403, 4003), "the body is not even read"


@pytest.mark.parametrize("target", ["0" * 32, "x", "13800138000", "%00", "' OR 1=1 --"])
async def test_banning_an_unknown_user_is_404(server: LocalServer, target: str) -> None:
    admin = await server.new_user()
    await server.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    for banned in (True, False):
        assert await ban(server, admin, target, banned) == (404, 1004)


async def test_banned_must_be_a_boolean(server: LocalServer) -> None:
    admin = await server.new_user()
    await server.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    value: object
    for value in (None, 1, "true", [], {}):
        assert await ban(server, admin, admin.id, value) == (400, 4001)
