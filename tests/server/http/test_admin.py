"""Admins: who is one is asked of the database at each call."""

from __future__ import annotations

import pytest

from actors.auth.messages import Role, SetRole
from tests.support.server import Edge, Person


async def ban(edge: Edge, who: Person | None, whom: str, banned: object = True) -> tuple[int, int]:
    answer = await edge.put(f"/api/admin/users/{whom}/ban", {"banned": banned}, who=who)
    return (200, 0) if answer.status == 200 else answer.refusal


async def test_an_admin_closes_and_opens_an_account(edge: Edge) -> None:
    admin, other = await edge.person(), await edge.person()
    await edge.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    assert await ban(edge, admin, other.id) == (200, 0)
    assert (await edge.get("/api/quota", who=other)).refusal == (401, 1001)
    assert await ban(edge, admin, other.id, False) == (200, 0)
    assert (await edge.person(other.phone)).id == other.id


async def test_the_role_is_read_at_each_call_not_from_the_token(edge: Edge) -> None:
    admin, other = await edge.person(), await edge.person()
    assert await ban(edge, admin, other.id) == (403, 4003)
    await edge.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    assert await ban(edge, admin, other.id, False) == (200, 0), "with the token from before"
    await edge.system._auth.ask(SetRole(admin.id, Role.USER))
    assert await ban(edge, admin, other.id) == (403, 4003)
    assert (await edge.get("/api/quota", who=other)).status == 200


async def test_nobody_else_is_an_admin(edge: Edge) -> None:
    person = await edge.person()
    assert await ban(edge, person, person.id) == (403, 4003)
    assert await ban(edge, None, person.id) == (401, 1001)
    answer = await edge.put(f"/api/admin/users/{person.id}/ban", raw=b"no json", who=person)
    assert answer.refusal == (403, 4003), "not even what is wrong with a body is told"


@pytest.mark.parametrize("whom", ["0" * 32, "x", "13800138000", "%00", "' OR 1=1 --"])
async def test_who_does_not_exist_is_not_found(edge: Edge, whom: str) -> None:
    admin = await edge.person()
    await edge.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    for banned in (True, False):
        assert await ban(edge, admin, whom, banned) == (404, 1004)


async def test_a_ban_is_true_or_false(edge: Edge) -> None:
    admin = await edge.person()
    await edge.system._auth.ask(SetRole(admin.id, Role.ADMIN))
    nonsense: object
    for nonsense in (None, 1, "true", [], {}):
        assert await ban(edge, admin, admin.id, nonsense) == (400, 4001)
