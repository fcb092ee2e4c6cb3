"""No call may scan a table that grows. The tests check the query plans of all statements that a server runs."""

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

from actors.auth.administration import Ban, GetUserByPhone, ListAdmins, Role, RotateKeys, SetRole, Unban, Unlock
from actors.ids import new_id
from actors.membership.messages import GetMembershipStatus, Reconcile
from actors.quota.commands import Adjust, Refund
from actors.quota.messages import ExpireDueMemberships, GrantDueGifts
from actors.retention import Purge
from actors.schedule import GetNextDue
from actors.task.administration import Selected
from actors.task.external_workers import EXTERNAL_LEASE
from actors.task.messages import CreateTask, GetTask, Sweep
from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from storage.engine.migrate import migrate
from storage.quota.adjustments import Adjustment
from storage.task import queue, records
from storage.task.tasks import FailedTask
from storage.totals import overview
from tests.support.operator import execute_on
from tests.support.pictures import shirt
from tests.support.server import HIGH_LIMITS, SECRETS, LocalServer, running_server
from tests.support.uploads import store_picture

STORAGE = Path(__file__).parent.parent.parent / "storage"
EXCLUDED = {f"engine.{name}" for name in ("connection", "database", "group_commit", "lock", "migrate")}  # not for data
EXCLUDED.add("task.former_pictures")  # reads all tasks once, after the first start of a new version
BOUNDED = {"totals", "heartbeat", "signing_keys", "unrecorded_pictures"}  # do not grow
BOUNDED |= {
    "requested",
    "page",
    "change",
    "report",
    "held",
    "candidate",
    "needed",
    "unfinished",
}  # are defined in a statement
# Partial indexes whose rows are unfinished work, or few by their nature. They may be scanned.
OPEN_WORK = {"tasks_waiting", "tasks_unclaimed", "tasks_postponed", "tasks_leased"}
OPEN_WORK |= {"orders_pending", "signup_gifts_due", "users_admins"}
# Indexes by time, for expiry and purging. They may be searched for a range, because it holds only what is due.
RANGES = OPEN_WORK | {"accounts_to_expire", "idempotency_refused", "order_keys_refused"}
RANGES |= {"sends_by_time", "codes_by_end", "login_failures_by_time", "sessions_by_end", "sessions_ended"}
RANGES |= {"pictures_by_end"}
# This reads one row, at the end of the primary key. Its plan looks like that of a MAX over a column without an index.
LAST_ROW = "SELECT MAX(id) FROM ledger"
# These read a number of rows that is fixed, at the end of an index.
LAST_ROWS = frozenset(records.NEWEST.values())
REQUIRED_INDEXES = [
    *("accounts_to_expire", "orders_by_user", "orders_pending", "sends_by_time", "refresh_tokens_by_session"),
    *("tasks_leased", "tasks_waiting", "tasks_unclaimed", "tasks_postponed", "pictures_by_end", "signup_gifts_due"),
    *("sessions_alive", "sessions_ended", "users_admins", "tasks_retries"),
]

# Matches a scan of a table ("SCAN tasks USING INDEX tasks_by_user", but not of VALUES) and a search without an equality
# ("SEARCH tasks USING INDEX tasks_by_user (id<?)").
_INDEX = r"(?: USING (?:COVERING )?(?:INDEX|PRIMARY KEY|INTEGER PRIMARY KEY)(?: (?P<index>\w+))?)?"
_READ = re.compile(rf"(?:(?P<all>SCAN)|SEARCH) (?P<table>[a-z]\w*){_INDEX}(?: \([^=]*\))?$")


@dataclass(slots=True)
class StatementLog:
    """Statements with the parameters of their first run, and the functions of storage/ that ran them."""

    statements: dict[str, Any] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)

    def add(self, sql: str, parameters: Any) -> None:
        caller = sys._getframe(2)
        if caller.f_globals["__name__"].removeprefix("storage.") not in EXCLUDED:
            self.statements.setdefault(sql, parameters)
            self.functions.add(f"{caller.f_globals['__name__']}.{caller.f_code.co_name}")


LOG = StatementLog()


class LoggingConnection(sqlite3.Connection):
    """Logs each statement with its placeholders, because the query planner does not know the parameters' values."""

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        LOG.add(sql, parameters)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        rows = list(parameters)
        if rows:
            LOG.add(sql, rows[0])
        return super().executemany(sql, rows)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> StatementLog:
    """Return the statements that a server runs for all its calls, batches and repairs."""
    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=LoggingConnection, **kwargs))
        asyncio.run(run_every_statement(tmp_path_factory.mktemp("server")))
    return LOG


async def run_every_statement(folder: Path) -> None:
    async with running_server(folder / "data", auth={**HIGH_LIMITS, "signup_quota": 1, "failures": 1}) as server:
        await every_login(server)
        await every_call(server)
        await every_batch(server)
        await every_repair(server)
        await every_task_command(server)
        await server.system._db.read(overview)
        await server.system._due_work().next_at(after=0)


async def every_login(server: LocalServer) -> None:
    user, phone = await server.new_user("13800138000"), "13900139000"
    wrong = f"{(int(await server.request_code(phone)) + 1) % 1_000_000:06}"
    assert (await server.post("/api/auth/login", {"phone": phone, "code": wrong})).status == 400
    login = (
        await server.post("/api/auth/login", {"phone": "13700137000", "code": await server.request_code("13700137000")})
    ).data
    for status in (200, 401):
        assert (await server.post("/api/auth/refresh", {"refreshToken": login["refreshToken"]})).status == status
    auth = server.system._auth
    await auth.ask(Unlock(phone))
    await auth.ask(SetRole((await auth.ask(GetUserByPhone(user.phone))).id, Role.ADMIN))
    assert [admin.id for admin in await auth.ask(ListAdmins())] == [user.id]
    await auth.ask(Ban(user.id))
    await auth.ask(Unban(user.id))
    await auth.ask(RotateKeys())
    server.clock.advance(days=60)
    await auth.ask(Purge())
    await auth.load()
    await server.system._quota.ask(GrantDueGifts())


async def every_call(server: LocalServer) -> None:
    member = await server.new_member("alipay")
    image_url = await server.upload(member, shirt(200))
    body = {"type": "basic_clean", "inputImageUrl": image_url}
    for key in ("once", "once", "twice"):
        created = (await server.post("/api/task/create", body, user=member, headers={"Idempotency-Key": key})).data
    task = await server.wait_until_finished(member, created["taskId"])
    assert task["status"] == "success"
    again = {"Idempotency-Key": "once"}
    order = (await server.post("/api/membership/purchase", {"channel": "wx"}, user=member, headers=again)).data[
        "orderId"
    ]
    for path in (
        *("/api/auth/me", "/api/quota", "/api/membership/status", "/api/membership/plans", "/ready"),
        *("/api/quota/ledger", "/api/quota/ledger?cursor=9000000000000000", f"/api/membership/orders/{order}"),
        *("/api/membership/orders", f"/api/task/list?cursor={task['id']}", "/api/task/list?type=basic_clean"),
        *("/api/task/list?status=failed", "/api/task/list?status=failed&type=basic_clean&offset=5"),
    ):
        assert (await server.get(path, user=member)).status == 200, path


async def every_batch(server: LocalServer) -> None:
    """Run batches of several rows. Their statements may have another plan than those for one row."""
    server.system._tasks.drain()
    members = [await server.new_member(), await server.new_member()]
    urls = [await store_picture(server, member) for member in members]
    asked = [
        CreateTask(member.id, "basic_clean", url, {}, key)
        for member, url in zip(members, urls, strict=True)
        for key in ("one", "two")
    ]
    made = await asyncio.gather(*map(server.system._tasks.ask, asked))
    await asyncio.gather(
        *(server.system._tasks.ask(GetTask(a.user_id, m.task_id)) for a, m in zip(asked, made, strict=True))
    )
    await asyncio.gather(*(server.system._membership.ask(GetMembershipStatus(m.id)) for m in members))
    await asyncio.gather(
        *(
            server.system._quota.ask(Refund(FailedTask(m.task_id, a.user_id, "late")))
            for a, m in zip(asked, made, strict=True)
        ),
        *(server.system._quota.ask(Adjust(Adjustment(new_id(), m.id, "a gift", 0), 1)) for m in members),
    )


async def every_repair(server: LocalServer) -> None:
    """Let external workers report, a lease expire, a task be released, a balance be adjusted and a membership end."""
    member = await server.new_member()
    image_url = await server.upload(member, shirt(200))
    tasks = [(await server.create_task(member, image_url))["taskId"] for _ in range(4)]
    assert await report(server, tasks[0], status="processing") == 200
    assert await report(server, tasks[0], status="success", resultUrls=["https://elsewhere.test/a.png"]) == 200
    assert await report(server, tasks[1], status="failed") == 200
    assert await report(server, tasks[2], status="processing") == 200
    assert await report(server, tasks[2], status="processing", attempt=1, progress=50) == 200
    assert (await server.post(f"/api/task/{tasks[3]}/cancel", user=member)).status == 200
    assert (await server.call("DELETE", f"/api/task/{tasks[0]}", user=member)).status == 200
    await server.system._quota.ask(Adjust(Adjustment(new_id(), member.id, "a gift", 0), 1))
    assert (await server.post("/api/membership/purchase", {"channel": "wx"}, user=member)).status == 200
    await server.system._db.write(lambda connection: queue.renew_leases(connection, [(tasks[2], 1), ("x", 1)], 0))
    await server.system._db.read(lambda connection: queue.count_claimable(connection, ["basic_clean", "other"]))
    await server.create_task(member, image_url)
    await server.system._tasks.ask(GetNextDue())
    await server.system._tasks.ask(GetNextDue(server.clock.now()))
    server.clock.advance(seconds=EXTERNAL_LEASE / 1000, days=60)
    for repair, actor in ((Sweep(), server.system._tasks), (ExpireDueMemberships(), server.system._quota)):
        await actor.ask(repair)
    await server.system._membership.ask(Reconcile())
    await server.system._membership._reconciliation._running  # type: ignore[misc]


async def every_task_command(server: LocalServer) -> None:
    """Run the commands of the operator about tasks."""
    member = await server.new_member()
    task_id = (await server.create_task(member, await server.upload(member, shirt(200))))["taskId"]
    await execute_on(server.data, "tasks fail", task=task_id, reason="a test")
    await execute_on(server.data, "tasks retry", task=task_id, reason="a test")
    await execute_on(server.data, "tasks show", task=task_id)
    for status in Selected:
        for options in ({}, {"type": "basic_clean"}, {"user": member.phone}):
            await execute_on(server.data, "tasks list", status=status.value, **options)


async def report(server: LocalServer, task_id: str, **fields: object) -> int:
    path, raw = f"/api/task/{task_id}/status", json.dumps(fields).encode()
    timestamp = str(server.clock.now() // 1000)
    signature = sign(SECRETS["internal"].encode(), timestamp, "PUT", path, raw)
    response = await server.put(path, raw=raw, headers={TIMESTAMP: timestamp, SIGNATURE: signature})
    return response.status


def scans(connection: sqlite3.Connection, statements: dict[str, Any]) -> list[str]:
    """Return the steps of these statements that read a growing table or index as a whole, or in an unbounded range."""
    unbounded = []
    for sql, parameters in statements.items():
        if sql == LAST_ROW or sql in LAST_ROWS:
            continue
        for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters):
            read = _READ.match(step)
            if read and read["table"] not in BOUNDED and read["index"] not in (OPEN_WORK if read["all"] else RANGES):
                unbounded.append(f"{step}: {' '.join(sql.split())}")
    return unbounded


def trigger_statements(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the statements of all triggers, with a parameter for each column of NEW and OLD."""
    triggers = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    bodies = [
        re.sub(r"\b(NEW|OLD)\.(\w+)", r":\1_\2", sql.partition("BEGIN")[2].rpartition("END")[0]) for (sql,) in triggers
    ]
    statements = [sql for body in bodies for sql in body.split(";") if sql.strip() and "RAISE" not in sql]
    return {sql: dict.fromkeys(re.findall(r":(\w+)", sql)) for sql in statements}


def sql_functions() -> Iterator[str]:
    """Yield the names of the functions in storage/ that run SQL, except those of the EXCLUDED modules and the audit."""
    for path in STORAGE.rglob("*.py"):
        name = ".".join(path.relative_to(STORAGE).with_suffix("").parts)
        if name not in EXCLUDED and not name.startswith("audit."):
            module = import_module(f"storage.{name}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                if function.__module__ == module.__name__ and "connection.execute" in inspect.getsource(function):
                    yield f"{module.__name__}.{name}"


def empty_database(*, without: str | None = None) -> sqlite3.Connection:
    """Create a database without rows. The plans are the same, because ANALYZE is never run."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    if without is not None:
        connection.execute(f"DROP INDEX {without}")
    return connection


def test_no_call_scans_a_growing_table(log: StatementLog) -> None:
    with closing(empty_database()) as connection:
        assert scans(connection, log.statements | trigger_statements(connection)) == []


def test_every_function_with_sql_was_run(log: StatementLog) -> None:
    """A new function needs a call in one of the `every_…` functions, or its plan is not checked."""
    assert set(sql_functions()) - log.functions == set()


def test_a_missing_index_is_detected(log: StatementLog) -> None:
    for index in REQUIRED_INDEXES:
        with closing(empty_database(without=index)) as connection:
            assert scans(connection, log.statements), index


def test_a_list_of_pairs_is_detected() -> None:
    """SQLite searches for one pair, but scans the table for two."""
    query = "SELECT digest FROM idempotency WHERE (user_id, key) IN (VALUES {})"
    one, two = query.format("(?, ?)"), query.format("(?, ?), (?, ?)")
    with closing(empty_database()) as connection:
        assert scans(connection, {one: "ab", two: "abcd"}) == [
            f"SCAN idempotency: {two}",
        ]
