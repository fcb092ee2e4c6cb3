"""Tasks. The table is the queue, and a final state is won by a conditional update, never just set."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from storage.engine.batch import fetch_json, placeholders
from storage.engine.connection import Connection


class TaskStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"


class Holder(StrEnum):
    """Who has taken a task: this process, or a worker elsewhere."""

    HERE = "here"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Task:
    """`results` are object keys or foreign addresses; times in epoch milliseconds.

    `attempt` is the fencing token, `interruptions` counts the times a holder here vanished.
    """

    id: str
    user_id: str
    type: str
    status: TaskStatus
    input_key: str
    params: dict[str, str]
    results: list[str]
    error: str | None
    holder: Holder | None
    attempt: int
    interruptions: int
    created_at: int
    updated_at: int
    completed_at: int | None


class NewTask(NamedTuple):
    """The record that explains a charge."""

    id: str
    user_id: str
    type: str
    input_key: str
    params: dict[str, str]
    created_at: int


@dataclass(frozen=True, slots=True)
class FailedTask:
    """The record that explains a refund. With `attempt`, only the holder of that lease may fail the task."""

    id: str
    user_id: str
    reason: str
    attempt: int | None = None


_COLUMNS = """id, user_id, type, status, input_key, params, results, error, holder, attempt, interruptions,
    created_at, updated_at, completed_at"""

_FINAL = "waiting = 0, holder = NULL, lease_until = NULL"


def add(connection: Connection, tasks: Sequence[NewTask]) -> None:
    if not tasks:
        return
    connection.execute(
        f"""
        INSERT INTO tasks (id, user_id, type, status, input_key, params, created_at, updated_at)
        VALUES {placeholders(len(tasks), 8)}
        """,
        [
            value
            for t in tasks
            for value in (
                t.id,
                t.user_id,
                t.type,
                "pending",
                t.input_key,
                _params(tuple(t.params.items())),
                t.created_at,
                t.created_at,
            )
        ],
    )


@lru_cache(maxsize=256)
def _params(items: tuple[tuple[str, str], ...]) -> str:
    """As JSON. There are few different ones, and to write one takes 3 us."""
    return json.dumps(dict(items))


def load(connection: Connection, ids: Collection[str]) -> dict[str, Task]:
    """Tasks by id; those that do not exist are left out."""
    rows = fetch_json(connection, _COLUMNS, f"FROM tasks WHERE id IN {placeholders(1, len(ids))}", tuple(ids))
    return {row[0]: _task(row) for row in rows}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of a person's tasks; `before` is an id, exclusive."""

    user_id: str
    status: TaskStatus | None = None
    type: str | None = None
    before: str | None = None


def page(connection: Connection, wanted: Filter, limit: int, offset: int) -> list[Task]:
    """Newest first."""
    where, arguments = _where(wanted)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM tasks WHERE {where} AND id < ? ORDER BY id DESC LIMIT ? OFFSET ?",
        (*arguments, wanted.before or "g", limit, offset),  # "g" sorts above every hexadecimal id
    )
    return [_task(row) for row in rows]


def count(connection: Connection, wanted: Filter) -> int:
    """How many there are in all, whatever `before` says."""
    where, arguments = _where(wanted)
    (total,) = connection.execute(f"SELECT COUNT(*) FROM tasks WHERE {where}", arguments).fetchone()
    return int(total)


def claim(connection: Connection, type: str, limit: int, now: int, lease_until: int) -> list[Task]:
    """Take up to `limit` waiting tasks for this process, oldest first, each with a new fencing token."""
    rows = connection.execute(
        f"""
        UPDATE tasks SET status = 'processing', waiting = 0, holder = 'here', attempt = attempt + 1,
            lease_until = ?, updated_at = ?
        WHERE id IN (SELECT id FROM tasks WHERE waiting = 1 AND type = ? ORDER BY id LIMIT ?)
        RETURNING {_COLUMNS}
        """,
        (lease_until, now, type, limit),
    )
    return sorted((_task(row) for row in rows), key=lambda task: task.id)


def take_over(connection: Connection, task_id: str, now: int, lease_until: int) -> bool:
    """Give an unfinished task to a worker elsewhere, or renew its lease; a holder here loses it. Whether it did."""
    changed = connection.execute(
        """
        UPDATE tasks SET status = 'processing', waiting = 0, holder = 'outside', attempt = attempt + 1,
            lease_until = ?, updated_at = ?
        WHERE id = ? AND status IN ('pending', 'processing')
        """,
        (lease_until, now, task_id),
    )
    return changed.rowcount == 1


def win_success(connection: Connection, task_id: str, results: Sequence[str], attempt: int | None, now: int) -> bool:
    """Finish an unfinished task; with `attempt`, only for the holder of that lease. Whether this call won."""
    changed = connection.execute(
        f"""
        UPDATE tasks SET status = 'success', results = ?, {_FINAL}, updated_at = ?, completed_at = ?
        WHERE id = ? AND status IN ('pending', 'processing') AND attempt = COALESCE(?, attempt)
        """,
        (json.dumps(list(results)), now, now, task_id, attempt),
    )
    return changed.rowcount == 1


def win_failed(connection: Connection, failed: Sequence[FailedTask], now: int) -> set[FailedTask]:
    """Fail unfinished tasks; those that were failed by this call."""
    won = set()
    for f in failed:
        changed = connection.execute(
            f"""
            UPDATE tasks SET status = 'failed', error = ?, {_FINAL}, updated_at = ?, completed_at = ?
            WHERE id = ? AND user_id = ? AND status IN ('pending', 'processing') AND attempt = COALESCE(?, attempt)
            """,
            (f.reason, now, now, f.id, f.user_id, f.attempt),
        )
        if changed.rowcount:
            won.add(f)
    return won


def release(connection: Connection, held: Sequence[Task], now: int, *, interrupted: bool) -> None:
    """Let others take tasks, unless somebody has taken them since; what their holder still says is worth nothing."""
    connection.executemany(
        """
        UPDATE tasks SET waiting = 1, holder = NULL, lease_until = NULL, interruptions = interruptions + ?,
            updated_at = ?
        WHERE id = ? AND status = 'processing' AND holder = 'here' AND attempt = ?
        """,
        [(int(interrupted), now, task.id, task.attempt) for task in held],
    )


def lapsed(connection: Connection, now: int, limit: int) -> list[Task]:
    """Tasks whose lease ran out: whoever held it is gone."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM tasks WHERE lease_until <= ? ORDER BY lease_until LIMIT ?", (now, limit)
    )
    return [_task(row) for row in rows]


def end_leases(connection: Connection, now: int) -> None:
    """Let every lease held here run out now: at start-up, since the process that held them has died."""
    connection.execute("UPDATE tasks SET lease_until = ? WHERE lease_until > ? AND holder = 'here'", (now, now))


def _where(wanted: Filter) -> tuple[str, list[Any]]:
    terms: dict[str, Any] = {"user_id = ?": wanted.user_id, "status = ?": wanted.status, "type = ?": wanted.type}
    given = {term: value for term, value in terms.items() if value is not None}
    return " AND ".join(given), list(given.values())


def _task(row: Any) -> Task:
    id, user_id, type, status, input_key, params, results, error, holder, *rest = row
    attempt, interruptions, created, updated, completed = rest
    return Task(
        *(id, user_id, type, TaskStatus(status), input_key, json.loads(params), json.loads(results), error),
        *(Holder(holder) if holder else None, attempt, interruptions, created, updated, completed),
    )
