"""Seed data: a database with any number of users and tasks, inserted in SQL, that passes `darkroom verify`.

Every user has the same number of tasks. The users create them in turn, so that the rows of one user are spread over the
whole table, which is the worst case for a list. One task in ten has failed and was refunded. Some users have a
membership that expired, an order that was refunded or closed, or an adjustment. The last tasks are still pending.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from storage.audit.progress import ReportProgress
from storage.engine.migrate import migrate

QUOTA = 100_000  # the quota of each order, enough for more tasks
PENDING = 20
CHUNK = 100_000  # tasks inserted by one statement
PARTS = ("users", "tasks", "indexes")


@dataclass(frozen=True, slots=True)
class Size:
    users: int
    tasks_per_user: int

    @property
    def all_tasks(self) -> int:
        return self.users * self.tasks_per_user


def insert_seed_data(
    connection: sqlite3.Connection, size: Size, now: int, report_progress: ReportProgress = lambda *_: None
) -> None:
    """Insert seed data into an empty file. `now` is in epoch milliseconds; memberships end after it."""
    connection.execute("PRAGMA journal_mode=OFF")  # the file is useless if this is interrupted
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-262144")
    migrate(connection)
    parameters = {"users": size.users, "quota": QUOTA, "start": now - 20 * 86_400_000, "end": now + 20 * 86_400_000}
    parameters |= {"all_tasks": size.all_tasks, "pending": PENDING}
    with _without_indexes(connection, report_progress):
        connection.execute("BEGIN")
        _insert_users(connection, parameters, report_progress)
        _insert_tasks(connection, parameters, report_progress)
        connection.execute("COMMIT")
    for statement in _COUNTERS:
        connection.execute(statement)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_mode=WAL")


def _insert_users(
    connection: sqlite3.Connection, parameters: Mapping[str, int], report_progress: ReportProgress
) -> None:
    for done, statement in enumerate(_USERS, 1):
        connection.execute(statement, parameters)
        report_progress("users", done, len(_USERS))


def _insert_tasks(
    connection: sqlite3.Connection, parameters: Mapping[str, int], report_progress: ReportProgress
) -> None:
    all_tasks = parameters["all_tasks"]
    for first in range(0, all_tasks, CHUNK):
        end = min(first + CHUNK, all_tasks)
        for statement in _TASKS:
            connection.execute(statement, {**parameters, "first": first, "end_of_chunk": end})
        report_progress("tasks", end, all_tasks)


@contextmanager
def _without_indexes(connection: sqlite3.Connection, report_progress: ReportProgress) -> Iterator[None]:
    """Drop indexes and triggers, and create them again afterwards: one sort is faster than many inserts."""
    dropped = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    for kind, name, _ in dropped:
        connection.execute(f"DROP {kind} {name}")
    yield
    for done, (_, _, sql) in enumerate(dropped, 1):
        connection.execute(sql)
        report_progress("indexes", done, len(dropped))


def _id(milliseconds: str, counter: str, number: str) -> str:
    """SQL for an id in the form of actors.ids, with a hash instead of the random part."""
    return f"printf('%012x7%03x8%015x', {milliseconds}, {counter}, ({number}) * 2654435761 % 1152921504606846976)"


def _user_id(number: str) -> str:
    return _id(":start", f"({number}) % 4096", f"1000000 + {number}")


def _entry_before(nth: str) -> str:
    """SQL for the number of the nth ledger entry of user u before the tasks. Each user has up to four of them."""
    return f"(({nth}) - 1) * :users + u + 1"


def _entry(task: str) -> str:
    """SQL for the number of a task's charge. Its refund has the next number."""
    return f"4 * :users + 1 + 2 * ({task})"


_LAST_BEFORE = f"iif(u % 10 = 2, {_entry_before('4')}, {_entry_before('3')})"
_EACH = "WITH RECURSIVE numbered (u) AS (SELECT 0 UNION ALL SELECT u + 1 FROM numbered WHERE u + 1 < :users)"
_ORDER, _FORMER_ORDER, _CLOSED_ORDER = (_id(f":start + {n}", "u % 4096", f"{n}000000 + u") for n in (2, 3, 4))
_SESSION = _id(":start + 1", "u % 4096", "u")
_ADJUSTMENT = _id(":start + 5", "u % 4096", "5000000 + u")

# Ledger entries before the tasks: 1 and 2 are the grant and the expiry of a former membership (u % 10 = 4), 3 is the
# grant that every user has, 4 is an adjustment or a signup gift (u % 10 = 2).
_USERS = (
    f"{_EACH} INSERT INTO users (id, phone, created_at) SELECT {_user_id('u')}, 13000000000 + u, :start FROM numbered",
    f"""
    {_EACH}
    INSERT INTO sessions (id, user_id, created_at, expires_at)
    SELECT {_SESSION}, {_user_id("u")}, :start, :end FROM numbered
    """,
    f"""
    {_EACH}
    INSERT INTO refresh_tokens (digest, session_id) SELECT CAST(printf('%032d', u) AS BLOB), {_SESSION} FROM numbered
    """,
    f"""
    {_EACH}, purchase (n, status, bought) AS (VALUES (0, 'paid', :quota), (1, 'paid', 100), (2, 'closed', 100))
    INSERT INTO orders (id, user_id, channel, plan, amount, quota, days, rollover, auto_renew, status, transaction_id,
        created_at, expires_at, finished_at)
    SELECT CASE n WHEN 0 THEN {_ORDER} WHEN 1 THEN {_FORMER_ORDER} ELSE {_CLOSED_ORDER} END, {_user_id("u")}, 'wx',
        'monthly', 9900, bought, 30, 1, 0, CASE WHEN n = 1 AND u % 20 = 4 THEN 'refunded' ELSE status END,
        CASE WHEN n < 2 THEN 'wx' || n || '-' || u END, :start, :start + 1800000, :start + 60000
    FROM purchase CROSS JOIN numbered WHERE n = 0 OR (n = 1 AND u % 10 = 4) OR (n = 2 AND u % 10 = 1)
    """,
    f"""
    {_EACH}
    INSERT INTO adjustments (id, user_id, reason, created_at)
    SELECT {_ADJUSTMENT}, {_user_id("u")}, 'goodwill', :start FROM numbered WHERE u % 20 = 2
    """,
    f"""
    {_EACH}
    INSERT INTO signup_gifts (user_id, amount, created_at, granted_at)
    SELECT {_user_id("u")}, 5, :start, iif(u % 20 = 12, :start, NULL) FROM numbered WHERE u % 20 IN (12, 16)
    """,
    f"""
    {_EACH}, entry (n) AS (VALUES (1), (2), (3), (4))
    INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at, previous)
    SELECT {_entry_before("n")}, {_user_id("u")},
        CASE n WHEN 2 THEN 'expire' WHEN 4 THEN iif(u % 20 = 2, 'adjust', 'gift') ELSE 'grant' END,
        CASE n WHEN 1 THEN 100 WHEN 2 THEN -100 WHEN 3 THEN :quota ELSE 5 END,
        CASE n WHEN 1 THEN 100 WHEN 2 THEN 0 WHEN 3 THEN :quota ELSE :quota + 5 END,
        CASE n WHEN 1 THEN {_FORMER_ORDER} WHEN 4 THEN iif(u % 20 = 2, {_ADJUSTMENT}, {_user_id("u")})
            ELSE {_ORDER} END,
        :start,
        CASE WHEN n = 2 OR n = 4 OR u % 10 = 4 AND n = 3 THEN {_entry_before("n - 1")} END
    FROM entry CROSS JOIN numbered WHERE n = 3 OR (n < 3 AND u % 10 = 4) OR (n = 4 AND u % 10 = 2)
    """,
    f"""
    {_EACH}
    INSERT INTO accounts (user_id, balance, expires_at, last_entry)
    SELECT {_user_id("u")}, :quota + 5 * (u % 10 = 2) - tasks + (tasks + 9 - (13 - u % 10) % 10) / 10, :end,
        iif(tasks, {_entry("(tasks - 1) * :users + u")} + ((tasks - 1) % 10 = (13 - u % 10) % 10), {_LAST_BEFORE})
    FROM numbered, (SELECT :all_tasks / :users AS tasks)
    """,
)

# Task n is the k-th task of user u, counted from 0. It has failed when k % 10 = r, where r depends on the last digit of
# u. Therefore a user has (k + 9 - r) / 10 refunds before task k.
_EACH_TASK = """
    WITH RECURSIVE number (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :end_of_chunk),
    numbered_task (n, u, k, r) AS (SELECT n, n % :users, n / :users, (13 - n % :users % 10) % 10 FROM number),
    task (n, u, k, r, at, failed) AS (SELECT n, u, k, r, :start + 1000 + n * 200, k % 10 = r FROM numbered_task)
"""
_TASK = _id("at", "0", "n")
_TASKS = (
    f"""
    {_EACH_TASK}
    INSERT INTO tasks (id, user_id, type, status, input_key, params, results, error, waiting, attempt, created_at,
        updated_at, completed_at)
    SELECT id, owner, 'basic_clean', CASE WHEN open THEN 'pending' WHEN failed THEN 'failed' ELSE 'success' END,
        'input/' || owner || '/' || id || '/' || id || '.jpg', '{{"template": "all"}}',
        CASE WHEN failed OR open THEN '[]' ELSE
            printf('["output/%s/%s/matting.png", "output/%s/%s/white-bg.png"]', owner, id, owner, id) END,
        CASE WHEN failed THEN 'no_garment' END, open, 1 - open, at, at, CASE WHEN NOT open THEN at END
    FROM (
        SELECT {_TASK} AS id, {_user_id("u")} AS owner, failed, at, NOT failed AND n >= :all_tasks - :pending AS open
        FROM task
    )
    """,
    f"""
    {_EACH_TASK}
    INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at, previous)
    SELECT {_entry("n")} + is_refund, {_user_id("u")}, iif(is_refund, 'refund', 'charge'), iif(is_refund, 1, -1),
        :quota + 5 * (u % 10 = 2) - (k + 1) + (k + 9 - r) / 10 + is_refund, {_TASK}, at,
        CASE WHEN is_refund THEN {_entry("n")}
            WHEN k THEN {_entry("n - :users")} + ((k - 1) % 10 = r) ELSE {_LAST_BEFORE} END
    FROM task CROSS JOIN (SELECT 0 AS is_refund UNION ALL SELECT 1) WHERE is_refund = 0 OR failed
    """,
    f"""
    {_EACH_TASK}
    INSERT INTO idempotency (user_id, key, digest, task_id, balance, created_at)
    SELECT {_user_id("u")}, 'key ' || n, randomblob(32), {_TASK}, 0, at FROM task WHERE k % 10 = 5
    """,
)

_COUNTERS = (
    "DELETE FROM totals",
    """
    INSERT INTO totals (name, amount)
    SELECT 'users', COUNT(*) FROM users
    UNION ALL SELECT 'tasks.' || status, COUNT(*) FROM tasks GROUP BY status
    UNION ALL SELECT 'orders.' || status, COUNT(*) FROM orders GROUP BY status
    UNION ALL SELECT 'revenue', COALESCE(SUM(amount), 0) FROM orders WHERE status = 'paid'
    """,
)
