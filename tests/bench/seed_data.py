"""A database with a past: any number of people and tasks, made in SQL, and sound as `darkroom verify` means it.

Everybody has the same number of tasks, and they come in turns, so that what belongs to one person is spread over all of
the tables: the worst case for a list. One task in ten has failed and was refunded; some people had a membership that
lapsed, an order that was refunded or closed, an adjustment. The last tasks of all are still pending.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from storage.engine.migrate import migrate

QUOTA = 100_000  # of everybody's order: enough to go on creating tasks
PENDING = 20
CHUNK = 100_000  # tasks made by one statement

Tell = Callable[[str, int, int], None]
"""Gets what is being made, how much of it is done, and of how much."""


@dataclass(frozen=True, slots=True)
class Size:
    """`tasks` is what each of the `people` has."""

    people: int
    tasks: int

    @property
    def all_tasks(self) -> int:
        return self.people * self.tasks


def fill(connection: sqlite3.Connection, size: Size, now: int, tell: Tell = lambda what, done, of: None) -> None:
    """Fill an empty file. `now` in epoch milliseconds: everything happened in the days before, memberships run on."""
    connection.execute("PRAGMA journal_mode=OFF")  # a fill that is cut short is thrown away
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-262144")
    migrate(connection)
    given = {"people": size.people, "quota": QUOTA, "start": now - 20 * 86_400_000, "end": now + 20 * 86_400_000}
    given |= {"all_tasks": size.all_tasks, "pending": PENDING}
    with _without_indexes(connection, tell):
        connection.execute("BEGIN")
        for done, statement in enumerate(_PEOPLE):
            tell("people", done, len(_PEOPLE))
            connection.execute(statement, given)
        tell("people", len(_PEOPLE), len(_PEOPLE))
        for first in range(0, size.all_tasks, CHUNK):
            tell("tasks", first, size.all_tasks)
            chunk = {"first": first, "end_of_chunk": min(first + CHUNK, size.all_tasks)}
            for statement in _TASKS:
                connection.execute(statement, given | chunk)
        tell("tasks", size.all_tasks, size.all_tasks)
        connection.execute("COMMIT")
    for statement in _COUNTERS:
        connection.execute(statement)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def _without_indexes(connection: sqlite3.Connection, tell: Tell) -> Iterator[None]:
    """Indexes and triggers are made again at the end, from their own SQL: one sort beats a million inserts."""
    made = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    for kind, name, _ in made:
        connection.execute(f"DROP {kind} {name}")
    yield
    for done, (_, _, sql) in enumerate(made):
        tell("indexes", done, len(made))
        connection.execute(sql)
    tell("indexes", len(made), len(made))


def _id(milliseconds: str, counter: str, number: str) -> str:
    """SQL for an id as actors.ids makes them: milliseconds, the version and a counter, and what stands for chance."""
    return f"printf('%012x7%03x8%015x', {milliseconds}, {counter}, ({number}) * 2654435761 % 1152921504606846976)"


def _person(number: str) -> str:
    return _id(":start", f"({number}) % 4096", f"1000000 + {number}")


def _entry_before(nth: str) -> str:
    """SQL for the number of the nth entry, of four, that person u may have from before the tasks."""
    return f"(({nth}) - 1) * :people + u + 1"


def _entry(task: str) -> str:
    """SQL for the number of a task's charge; its refund has the next one."""
    return f"4 * :people + 1 + 2 * ({task})"


_LAST_BEFORE = f"iif(u % 10 = 2, {_entry_before('4')}, {_entry_before('3')})"
_EACH = "WITH RECURSIVE person (u) AS (SELECT 0 UNION ALL SELECT u + 1 FROM person WHERE u + 1 < :people)"
_ORDER, _FORMER, _GIVEN_UP = (_id(f":start + {n}", "u % 4096", f"{n}000000 + u") for n in (2, 3, 4))
_SESSION = _id(":start + 1", "u % 4096", "u")
_ADJUSTMENT = _id(":start + 5", "u % 4096", "5000000 + u")

# Before the tasks: to who had a membership before (u % 10 = 4) its grant and its end, to all a grant, to some (u % 10 =
# 2) an adjustment or a signup gift.
_BEFORE = "(u % 10 = 4) * 2 + 1 + (u % 10 = 2)"
_PEOPLE = (
    f"{_EACH} INSERT INTO users (id, phone, created_at) SELECT {_person('u')}, 13000000000 + u, :start FROM person",
    f"""
    {_EACH}
    INSERT INTO sessions (id, user_id, created_at, expires_at)
    SELECT {_SESSION}, {_person("u")}, :start, :end FROM person
    """,
    f"""
    {_EACH}
    INSERT INTO refresh_tokens (digest, session_id) SELECT CAST(printf('%032d', u) AS BLOB), {_SESSION} FROM person
    """,
    f"""
    {_EACH}, made (n, id, status, bought) AS (VALUES (0, 0, 'paid', :quota), (1, 1, 'paid', 100), (2, 2, 'closed', 100))
    INSERT INTO orders (id, user_id, channel, plan, amount, quota, days, rollover, auto_renew, status, transaction_id,
        created_at, expires_at, finished_at)
    SELECT CASE n WHEN 0 THEN {_ORDER} WHEN 1 THEN {_FORMER} ELSE {_GIVEN_UP} END, {_person("u")}, 'wx', 'monthly',
        9900, bought, 30, 1, 0, CASE WHEN n = 1 AND u % 20 = 4 THEN 'refunded' ELSE status END,
        CASE WHEN n < 2 THEN 'wx' || n || '-' || u END, :start, :start + 1800000, :start + 60000
    FROM made CROSS JOIN person WHERE n = 0 OR (n = 1 AND u % 10 = 4) OR (n = 2 AND u % 10 = 1)
    """,
    f"""
    {_EACH}
    INSERT INTO adjustments (id, user_id, reason, created_at)
    SELECT {_ADJUSTMENT}, {_person("u")}, 'an excuse', :start FROM person WHERE u % 20 = 2
    """,
    f"""
    {_EACH}
    INSERT INTO signup_gifts (user_id, amount, created_at, granted_at)
    SELECT {_person("u")}, 5, :start, iif(u % 20 = 12, :start, NULL) FROM person WHERE u % 20 IN (12, 16)
    """,
    f"""
    {_EACH}, made (n) AS (VALUES (1), (2), (3), (4))
    INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at, previous)
    SELECT {_entry_before("n")}, {_person("u")},
        CASE n WHEN 2 THEN 'expire' WHEN 4 THEN iif(u % 20 = 2, 'adjust', 'gift') ELSE 'grant' END,
        CASE n WHEN 1 THEN 100 WHEN 2 THEN -100 WHEN 3 THEN :quota ELSE 5 END,
        CASE n WHEN 1 THEN 100 WHEN 2 THEN 0 WHEN 3 THEN :quota ELSE :quota + 5 END,
        CASE n WHEN 1 THEN {_FORMER} WHEN 4 THEN iif(u % 20 = 2, {_ADJUSTMENT}, {_person("u")}) ELSE {_ORDER} END,
        :start,
        CASE WHEN n = 2 OR n = 4 OR u % 10 = 4 AND n = 3 THEN {_entry_before("n - 1")} END
    FROM made CROSS JOIN person WHERE n = 3 OR (n < 3 AND u % 10 = 4) OR (n = 4 AND u % 10 = 2)
    """,
    f"""
    {_EACH}
    INSERT INTO accounts (user_id, balance, expires_at, last_entry)
    SELECT {_person("u")}, :quota + 5 * (u % 10 = 2) - tasks + (tasks + 9 - (13 - u % 10) % 10) / 10, :end,
        iif(tasks, {_entry("(tasks - 1) * :people + u")} + ((tasks - 1) % 10 = (13 - u % 10) % 10), {_LAST_BEFORE})
    FROM person, (SELECT :all_tasks / :people AS tasks)
    """,
)

# Task n is the k-th of person u. It has failed where k % 10 is this person's number r; r is the same for whoever has
# the same last digit, so the refunds before task k are (k + 9 - r) / 10.
_EACH_TASK = """
    WITH RECURSIVE number (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :end_of_chunk),
    turn (n, u, k, r) AS (SELECT n, n % :people, n / :people, (13 - n % :people % 10) % 10 FROM number),
    task (n, u, k, r, at, failed) AS (SELECT n, u, k, r, :start + 1000 + n * 200, k % 10 = r FROM turn)
"""
_TASK = _id("at", "0", "n")
_TASKS = (
    f"""
    {_EACH_TASK}
    INSERT INTO tasks (id, user_id, type, status, input_key, params, results, error, waiting, attempt, created_at,
        updated_at, completed_at)
    SELECT id, person, 'basic_clean', CASE WHEN open THEN 'pending' WHEN failed THEN 'failed' ELSE 'success' END,
        'input/' || person || '/' || id || '/' || id || '.jpg', '{{"template": "all"}}',
        CASE WHEN failed OR open THEN '[]' ELSE
            printf('["output/%s/%s/matting.png", "output/%s/%s/white-bg.png"]', person, id, person, id) END,
        CASE WHEN failed THEN 'no_garment' END, open, 1 - open, at, at, CASE WHEN NOT open THEN at END
    FROM (
        SELECT {_TASK} AS id, {_person("u")} AS person, failed, at, NOT failed AND n >= :all_tasks - :pending AS open
        FROM task
    )
    """,
    f"""
    {_EACH_TASK}
    INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at, previous)
    SELECT {_entry("n")} + back, {_person("u")}, iif(back, 'refund', 'charge'), iif(back, 1, -1),
        :quota + 5 * (u % 10 = 2) - (k + 1) + (k + 9 - r) / 10 + back, {_TASK}, at,
        CASE WHEN back THEN {_entry("n")}
            WHEN k THEN {_entry("n - :people")} + ((k - 1) % 10 = r) ELSE {_LAST_BEFORE} END
    FROM task CROSS JOIN (SELECT 0 AS back UNION ALL SELECT 1) WHERE back = 0 OR failed
    """,
    f"""
    {_EACH_TASK}
    INSERT INTO idempotency (user_id, key, digest, task_id, balance, created_at)
    SELECT {_person("u")}, 'key ' || n, randomblob(32), {_TASK}, 0, at FROM task WHERE k % 10 = 5
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
