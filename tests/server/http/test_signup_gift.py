"""What a new person is given: once, with a ledger entry of its own kind, whatever happens meanwhile."""

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
GIVING: Any = {**HIGH_LIMITS, "signup_quota": 3}


async def test_a_new_person_has_the_gift_in_the_answer_to_the_login(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=GIVING, tasks={"workers": 0}) as server:
        login = await server.post("/api/auth/login", {"phone": PHONE, "code": await server.request_code(PHONE)})
        user = login.data["user"]
        assert (user["quota_remaining"], user["isMember"], user["quota_expireAt"]) == (3, False, None)
        person = await server.new_user(PHONE)
        assert person.id == user["id"]
        assert await server.ledger(person) == [("gift", 3, 3)], "once, however often they log in"


async def test_the_gift_can_be_spent_without_a_membership(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=GIVING, tasks={"workers": 0}) as server:
        person = await server.new_user()
        picture = await server.upload(person, shirt(200))
        for left in (2, 1, 0):
            assert (await server.create_task(person, picture))["quota_remaining"] == left
        body = {"type": "basic_clean", "inputImageUrl": picture}
        assert (await server.post("/api/task/create", body, user=person)).refusal == (403, 1002)


async def test_without_the_setting_nobody_is_given_anything(server: LocalServer) -> None:
    assert await server.ledger(await server.new_user()) == []


async def test_who_came_before_the_setting_is_not_new(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock) as server:
        await server.new_user(PHONE)
    async with running_server(tmp_path, clock, auth=GIVING) as server:
        assert await server.ledger(await server.new_user(PHONE)) == []


async def test_a_gift_that_was_promised_before_a_crash_is_given_after_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_server(tmp_path, clock, auth=GIVING) as server:
        person = await server.new_user(PHONE)
        await server.system._db.write(take_back)
        assert await server.remaining(person) == 0
    async with running_server(tmp_path, clock) as server:
        await server.system._quota.ask(GrantDueGifts())
        assert await server.ledger(person) == [("gift", 3, 3)]
        assert await server.system._db.read(audit_violations) == []


def take_back(connection: Connection) -> None:
    """As it is when the process dies between the login and the gift."""
    connection.execute("DROP TRIGGER ledger_is_append_only_2")
    connection.execute("DELETE FROM ledger")
    connection.execute("DELETE FROM accounts")
    connection.execute("UPDATE signup_gifts SET granted_at = NULL")


async def test_a_login_does_not_fail_because_the_quota_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_server(tmp_path, auth=GIVING) as server:
        ask = Quota.ask

        async def busy(quota: Quota, message: Message[Any]) -> Any:
            if isinstance(message, Gift):
                raise Overloaded(retry_after=1)
            return await ask(quota, message)

        with monkeypatch.context() as patched:
            patched.setattr(Quota, "ask", busy)
            person = await server.new_user(PHONE)
        assert await server.ledger(person) == []
        assert await server.system._quota.ask(Gift(person.id)) is not None
        assert await server.system._quota.ask(Gift(person.id)) is None
        assert await server.ledger(person) == [("gift", 3, 3)]


async def test_a_hundred_logins_at_once_bring_one_gift(tmp_path: Path) -> None:
    async with running_server(tmp_path, auth=GIVING) as server:
        code = await server.request_code(PHONE)
        body = {"phone": PHONE, "code": code}
        answers = await asyncio.gather(
            *(server.post("/api/auth/login", body) for _ in range(100)),
            *(server.system._quota.ask(GrantDueGifts()) for _ in range(5)),
        )
        assert sum(1 for answer in answers if answer is not None and answer.status == 200) == 1
        assert await server.ledger(await server.new_user(PHONE)) == [("gift", 3, 3)]
