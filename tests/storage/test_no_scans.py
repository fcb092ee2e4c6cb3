"""No call may scan a table that grows: the plans of all the statements a server really runs, over all its calls."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from actors.auth.messages import Ban, FindUser, ListAdmins, Role, RotateKeys, SetRole, Unban, Unlock
from actors.idempotency import IdempotencyKey
from actors.ids import new_id
from actors.membership.actor import GetStatus, Reconcile
from actors.ports import PictureTemplate
from actors.quota.actor import Adjust, ExpireDue, GiveDue, Refund
from actors.retention import Purge
from actors.task.actor import OUTSIDE_LEASE, CreateTask, GetTask, Release, Sweep
from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from storage.engine.migrate import migrate
from storage.quota.adjustments import Adjustment
from storage.task.tasks import FailedTask
from storage.totals import overview
from tests.support.pictures import shirt
from tests.support.server import HIGH_LIMITS, SECRETS, LocalServer, running_server

STORAGE = Path(__file__).parent.parent.parent / "storage"
APART = {f"engine.{name}" for name in ("connection", "database", "group_commit", "lock", "migrate")}  # open and migrate
BOUNDED = {"totals", "heartbeat", "signing_keys", "requested", "page"}  # do not grow, or are brought by a statement
# Partial indexes that hold only what is not finished, or few by their nature.
OPEN_WORK = {"tasks_waiting", "tasks_leased", "orders_pending", "signup_gifts_due", "users_admins"}
# By when they end: memberships, refusals that are remembered for a day, and what logins leave. A range is what is due.
FEW = OPEN_WORK | {"accounts_to_expire", "idempotency_refused", "order_keys_refused"}
FEW |= {"sends_by_time", "codes_by_end", "login_failures_by_time", "sessions_by_end", "sessions_ended"}
# One step to the end of the table's own key. Its plan is that of any MAX, be it of a column without an index.
LAST_ROW = "SELECT MAX(id) FROM ledger"
NEEDED = ["accounts_to_expire", "orders_by_user", "orders_pending", "sends_by_time", "refresh_tokens_by_session"]
NEEDED += ["tasks_leased", "tasks_waiting", "sessions_alive", "sessions_ended", "users_admins", "signup_gifts_due"]

# "SCAN tasks USING INDEX tasks_by_user", but not a scan of VALUES; and "SEARCH tasks USING INDEX tasks_by_user (id<?)",
# where no column has to be equal to anything.
_INDEX = r"(?: USING (?:COVERING )?(?:INDEX|PRIMARY KEY|INTEGER PRIMARY KEY)(?: (?P<index>\w+))?)?"
_READ = re.compile(rf"(?:(?P<all>SCAN)|SEARCH) (?P<table>[a-z]\w*){_INDEX}(?: \([^=]*\))?$")


@dataclass(slots=True)
class Seen:
    """Statements with the parameters they were first run with, and the functions of storage/ that ran them."""

    statements: dict[str, Any] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)

    def note(self, sql: str, parameters: Any) -> None:
        caller = sys._getframe(2)
        if caller.f_globals["__name__"].removeprefix("storage.") not in APART:
            self.statements.setdefault(sql, parameters)
            self.functions.add(f"{caller.f_globals['__name__']}.{caller.f_code.co_name}")


SEEN = Seen()


class Noting(sqlite3.Connection):
    """A connection that notes what is run on it, as it is written: the planner knows no parameter's value."""

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        SEEN.note(sql, parameters)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        rows = list(parameters)
        if rows:
            SEEN.note(sql, rows[0])
        return super().executemany(sql, rows)


@pytest.fixture
async def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What a server runs in its life."""
    SEEN.statements.clear()
    SEEN.functions.clear()
    connect = sqlite3.connect
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, factory=Noting, **named))
        async with running_server(tmp_path / "data", auth={**HIGH_LIMITS, "signup_quota": 1, "failures": 1}) as server:
            await every_login(server)
            await every_call(server)
            await every_batch(server)
            await every_repair(server)
            await server.system._db.read(overview)
    return SEEN


async def every_login(server: LocalServer) -> None:
    person, phone = await server.person("13800138000"), "13900139000"
    wrong = f"{(int(await server.code(phone)) + 1) % 1_000_000:06}"
    assert (await server.post("/api/auth/login", {"phone": phone, "code": wrong})).status == 400
    login = (
        await server.post("/api/auth/login", {"phone": "13700137000", "code": await server.code("13700137000")})
    ).data
    for status in (200, 401):
        assert (await server.post("/api/auth/refresh", {"refreshToken": login["refreshToken"]})).status == status
    auth = server.system._auth
    await auth.ask(Unlock(phone))
    await auth.ask(SetRole((await auth.ask(FindUser(person.phone))).id, Role.ADMIN))
    assert [admin.id for admin in await auth.ask(ListAdmins())] == [person.id]
    await auth.ask(Ban(person.id))
    await auth.ask(Unban(person.id))
    await auth.ask(RotateKeys())
    server.clock.advance(days=60)
    await auth.ask(Purge())
    await auth.load()
    await server.system._quota.ask(GiveDue())


async def every_call(server: LocalServer) -> None:
    member = await server.member("alipay")
    image_url = await server.uploaded(member, shirt(200))
    body = {"type": "basic_clean", "inputImageUrl": image_url}
    for key in ("once", "once", "twice"):
        created = (await server.post("/api/task/create", body, who=member, headers={"Idempotency-Key": key})).data
    task = await server.finished(member, created["taskId"])
    assert task["status"] == "success"
    again = {"Idempotency-Key": "once"}
    order = (await server.post("/api/membership/purchase", {"channel": "wx"}, who=member, headers=again)).data[
        "orderId"
    ]
    for path in (
        *("/api/auth/me", "/api/quota", "/api/membership/status", "/api/membership/plans", "/ready"),
        *("/api/quota/ledger", "/api/quota/ledger?cursor=9000000000000000", f"/api/membership/orders/{order}"),
        *("/api/membership/orders", f"/api/task/list?cursor={task['id']}", "/api/task/list?type=basic_clean"),
        *("/api/task/list?status=failed", "/api/task/list?status=failed&type=basic_clean&offset=5"),
    ):
        assert (await server.get(path, who=member)).status == 200, path


async def every_batch(server: LocalServer) -> None:
    """What is asked for together is written and read in one statement, which may have another plan than one row's."""
    server.system._tasks.drain()
    people = [await server.member(), await server.member()]
    keys = [IdempotencyKey(name, b"digest") for name in ("one", "two")]
    asked = [CreateTask(p.id, "basic_clean", "input", PictureTemplate.ALL, key) for p in people for key in keys]
    made = await asyncio.gather(*map(server.system._tasks.ask, asked))
    await asyncio.gather(
        *(server.system._tasks.ask(GetTask(a.user_id, m.task_id)) for a, m in zip(asked, made, strict=True))
    )
    await asyncio.gather(*(server.system._membership.ask(GetStatus(p.id)) for p in people))
    await asyncio.gather(
        *(
            server.system._quota.ask(Refund(FailedTask(m.task_id, a.user_id, "late")))
            for a, m in zip(asked, made, strict=True)
        ),
        *(server.system._quota.ask(Adjust(Adjustment(new_id(), p.id, "a gift", 0), 1)) for p in people),
    )


async def every_repair(server: LocalServer) -> None:
    """Workers elsewhere that report, one that falls silent, work that is put back, a gift, a membership that ends."""
    member = await server.member()
    image_url = await server.uploaded(member, shirt(200))
    tasks = [(await server.create(member, image_url))["taskId"] for _ in range(3)]
    assert await report(server, tasks[0], status="processing") == 200
    assert await report(server, tasks[0], status="success", resultUrls=["https://elsewhere.test/a.png"]) == 200
    assert await report(server, tasks[1], status="failed") == 200
    assert await report(server, tasks[2], status="processing") == 200
    await server.system._tasks.ask(
        Release(await server.system._tasks.ask(GetTask(member.id, tasks[2])), interrupted=True)
    )
    await server.system._quota.ask(Adjust(Adjustment(new_id(), member.id, "a gift", 0), 1))
    assert (await server.post("/api/membership/purchase", {"channel": "wx"}, who=member)).status == 200
    server.clock.advance(seconds=OUTSIDE_LEASE / 1000, days=60)
    for repair, actor in ((Sweep(), server.system._tasks), (ExpireDue(), server.system._quota)):
        await actor.ask(repair)
    await server.system._membership.ask(Reconcile())
    await server.system._membership._reconciliation  # type: ignore[misc]


async def report(server: LocalServer, task_id: str, **said: object) -> int:
    path, raw = f"/api/task/{task_id}/status", json.dumps(said).encode()
    timestamp = str(server.clock.now() // 1000)
    signature = sign(SECRETS["internal"].encode(), timestamp, "PUT", path, raw)
    answer = await server.put(path, raw=raw, headers={TIMESTAMP: timestamp, SIGNATURE: signature})
    return answer.status


def scans(connection: sqlite3.Connection, statements: dict[str, Any]) -> list[str]:
    """What these statements read without end, of what grows: a whole table or index, or all of it to one side."""
    found = []
    for sql, parameters in statements.items():
        if sql == LAST_ROW:
            continue
        for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters):
            read = _READ.match(step)
            if read and read["table"] not in BOUNDED and read["index"] not in (OPEN_WORK if read["all"] else FEW):
                found.append(f"{step}: {' '.join(sql.split())}")
    return found


def in_triggers(connection: sqlite3.Connection) -> dict[str, Any]:
    """The statements inside triggers, with a parameter for each column of the row that fires them."""
    triggers = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    bodies = [
        re.sub(r"\b(NEW|OLD)\.(\w+)", r":\1_\2", sql.partition("BEGIN")[2].rpartition("END")[0]) for (sql,) in triggers
    ]
    statements = [sql for body in bodies for sql in body.split(";") if sql.strip() and "RAISE" not in sql]
    return {sql: dict.fromkeys(re.findall(r":(\w+)", sql)) for sql in statements}


def sql_functions() -> Iterator[str]:
    """The functions of storage/ that run SQL on the connection they are given."""
    for path in STORAGE.rglob("*.py"):
        name = ".".join(path.relative_to(STORAGE).with_suffix("").parts)
        if name not in APART and not name.startswith("audit."):
            module = import_module(f"storage.{name}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                if function.__module__ == module.__name__ and "connection.execute" in inspect.getsource(function):
                    yield f"{module.__name__}.{name}"


def empty(*, without: str | None = None) -> sqlite3.Connection:
    """A database with the schema only; the plans are the same, since nothing is ever analyzed."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    if without is not None:
        connection.execute(f"DROP INDEX {without}")
    return connection


async def test_no_call_scans_what_grows(seen: Seen) -> None:
    with closing(empty()) as connection:
        assert scans(connection, seen.statements | in_triggers(connection)) == []


async def test_every_statement_of_storage_was_run(seen: Seen) -> None:
    """Or the test above proves nothing about it: a new statement needs a call in `every_call` or `every_repair`."""
    assert set(sql_functions()) - seen.functions == set()


async def test_an_index_that_is_gone_is_noticed(seen: Seen) -> None:
    for index in NEEDED:
        with closing(empty(without=index)) as connection:
            assert scans(connection, seen.statements), index


def test_a_list_of_pairs_is_noticed() -> None:
    """SQLite searches for one pair, and scans for two."""
    wanted = "SELECT digest FROM idempotency WHERE (user_id, key) IN (VALUES {})"
    one, two = wanted.format("(?, ?)"), wanted.format("(?, ?), (?, ?)")
    with closing(empty()) as connection:
        assert scans(connection, {one: "ab", two: "abcd"}) == [
            f"SCAN idempotency: {two}",
        ]
