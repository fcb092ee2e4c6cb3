"""The gift of a new user: granted exactly once, with a ledger entry of its own kind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.errors import Overloaded
from actors.message import Message
from actors.quota.actor import Quota
from actors.quota.commands import Gift
from actors.quota.messages import GrantDueGifts
from storage.engine.connection import Connection
from tests.support.invariants import audit_violations
from tests.support.pictures import shirt
from tests.support.server import HIGH_LIMITS, LocalServer, ManualClock, running_server

PHONE = "13800138000"
WITH_GIFT: Any = {**HIGH_LIMITS, "signup_quota": 3}


async def test_the_first_login_response_includes_the_gift(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=WITH_GIFT, tasks={"workers": 0}) as server:
        login = await server.post("/api/auth/login", {"phone": PHONE, "code": await server.request_code(PHONE)})
        wire_user = login.data["user"]
        quota = (wire_user["quota_remaining"], wire_user["isMember"], wire_user["quota_expireAt"])
        assert quota == (3, False, None)
        user = await server.log_in(PHONE)
        assert user.id == wire_user["id"]
        assert await server.ledger(user) == [("gift", 3, 3)], "once, however often the user logs in"


async def test_the_gift_can_be_spent_without_a_membership(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=WITH_GIFT, tasks={"workers": 0}) as server:
        user = await server.new_user()
        picture = await server.upload(user, shirt(200))
        for remaining in (2, 1, 0):
            assert (await server.create_task(user, picture))["quota_remaining"] == remaining
        body = {"type": "basic_clean", "inputImageUrl": picture}
        assert (await server.post("/api/task/create", body, user=user)).refusal == (403, 1002)


async def test_without_the_setting_there_is_no_gift(server: LocalServer) -> None:
    assert await server.ledger(await server.new_user()) == []


async def test_users_from_before_the_setting_get_no_gift(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        await server.new_user(PHONE)
    async with running_server(tmp_path, clock, auth=WITH_GIFT) as server:
        assert await server.ledger(await server.log_in(PHONE)) == []


async def test_a_gift_that_was_due_before_a_crash_is_granted_after_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, auth=WITH_GIFT) as server:
        user = await server.new_user(PHONE)
        await server.system._db.write(undo_gift)
        assert await server.remaining(user) == 0
    async with running_server(tmp_path, clock) as server:
        await server.system._quota.ask(GrantDueGifts())
        assert await server.ledger(user) == [("gift", 3, 3)]
        assert await server.system._db.read(audit_violations) == []


def undo_gift(connection: Connection) -> None:
    """Restore the state of a crash between the login and the gift."""
    connection.execute("DROP TRIGGER ledger_is_append_only_2")
    connection.execute("DELETE FROM ledger")
    connection.execute("DELETE FROM accounts")
    connection.execute("UPDATE signup_gifts SET granted_at = NULL")


async def test_a_login_succeeds_while_the_quota_actor_is_overloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_server(tmp_path, auth=WITH_GIFT) as server:
        ask = Quota.ask

        async def overloaded(quota: Quota, message: Message[Any]) -> Any:
            if isinstance(message, Gift):
                raise Overloaded(retry_after=1)
            return await ask(quota, message)

        with monkeypatch.context() as patched:
            patched.setattr(Quota, "ask", overloaded)
            user = await server.new_user(PHONE)
        assert await server.ledger(user) == []
        assert await server.system._quota.ask(Gift(user.id)) is not None
        assert await server.system._quota.ask(Gift(user.id)) is None
        assert await server.ledger(user) == [("gift", 3, 3)]


async def test_a_hundred_concurrent_logins_grant_one_gift(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=WITH_GIFT) as server:
        code = await server.request_code(PHONE)
        body = {"phone": PHONE, "code": code}
        responses = await asyncio.gather(
            *(server.post("/api/auth/login", body) for _ in range(100)),
            *(server.system._quota.ask(GrantDueGifts()) for _ in range(5)),
        )
        assert sum(1 for response in responses if response is not None and response.status == 200) == 1
        assert await server.ledger(await server.log_in(PHONE)) == [("gift", 3, 3)]
