"""Admins: who is one is asked of the database at each call."""

from __future__ import annotations

import pytest

from actors.auth.administration import Role, SetRole
from tests.support.server import LocalServer, User


async def ban(server: LocalServer, user: User | None, whom: str, banned: object = True) -> tuple[int, int]:
    answer = await server.put(f"/api/admin/users/{whom}/ban", {"banned": banned}, user=user)
    return (200, 0) if answer.status == 200 else answer.refusal


async def test_an_admin_closes_and_opens_an_account(server: LocalServer) -> None:
    admin, other = await server.new_user(), await server.new_user()
    await server.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    assert await ban(server, admin, other.id) == (200, 0)
    assert (await server.get("/api/quota", user=other)).refusal == (401, 1001)
    assert await ban(server, admin, other.id, False) == (200, 0)
    assert (await server.new_user(other.phone)).id == other.id


async def test_the_role_is_read_at_each_call_not_from_the_token(server: LocalServer) -> None:
    admin, other = await server.new_user(), await server.new_user()
    assert await ban(server, admin, other.id) == (403, 4003)
    await server.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    assert await ban(server, admin, other.id, False) == (200, 0), "with the token from before"
    await server.system._auth.ask(SetRole(admin.id, Role.USER))
    assert await ban(server, admin, other.id) == (403, 4003)
    assert (await server.get("/api/quota", user=other)).status == 200


async def test_nobody_else_is_an_admin(server: LocalServer) -> None:
    person = await server.new_user()
    assert await ban(server, person, person.id) == (403, 4003)
    assert await ban(server, None, person.id) == (401, 1001)
    answer = await server.put(f"/api/admin/users/{person.id}/ban", raw=b"no json", user=person)
    assert answer.refusal == (403, 4003), "not even what is wrong with a body is told"


@pytest.mark.parametrize("whom", ["0" * 32, "x", "13800138000", "%00", "' OR 1=1 --"])
async def test_who_does_not_exist_is_not_found(server: LocalServer, whom: str) -> None:
    admin = await server.new_user()
    await server.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    for banned in (True, False):
        assert await ban(server, admin, whom, banned) == (404, 1004)


async def test_a_ban_is_true_or_false(server: LocalServer) -> None:
    admin = await server.new_user()
    await server.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    nonsense: object
    for nonsense in (None, 1, "true", [], {}):
        assert await ban(server, admin, admin.id, nonsense) == (400, 4001)
