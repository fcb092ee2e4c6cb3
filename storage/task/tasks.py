"""Tasks. The table is the queue; a final state is won by a conditional update, so only one caller gets it."""

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
    """Who holds the lease of a task: this process, or an external worker."""

    HERE = "here"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    `results` are object keys, or the URLs of an external worker's pictures; times are in epoch milliseconds.
    `attempt` is the fencing token. `interruptions` counts how often this server stopped or died during the task.
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
    """A task to be created. It explains a charge."""

    id: str
    user_id: str
    type: str
    input_key: str
    params: dict[str, str]
    created_at: int


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that has failed. It explains a refund. With `attempt`, only the holder of that lease may fail the task."""

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
    """Return the parameters as JSON. They are cached, because few different ones exist."""
    return json.dumps(dict(items))


def load(connection: Connection, ids: Collection[str]) -> dict[str, Task]:
    """Return tasks by id. Ids that do not exist are left out."""
    rows = fetch_json(connection, _COLUMNS, f"FROM tasks WHERE id IN {placeholders(1, len(ids))}", tuple(ids))
    return {row[0]: _task(row) for row in rows}


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Selects tasks of a user. `before` is a task id: only older tasks are selected."""

    user_id: str
    status: TaskStatus | None = None
    type: str | None = None
    before: str | None = None


def page(connection: Connection, task_filter: TaskFilter, limit: int, offset: int) -> list[Task]:
    """Return the selected tasks, newest first."""
    where, arguments = _where(task_filter)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM tasks WHERE {where} AND id < ? ORDER BY id DESC LIMIT ? OFFSET ?",
        (*arguments, task_filter.before or "g", limit, offset),  # "g" sorts above every hexadecimal id
    )
    return [_task(row) for row in rows]


def count(connection: Connection, task_filter: TaskFilter) -> int:
    """Return the number of tasks, ignoring `before`."""
    where, arguments = _where(task_filter)
    (total,) = connection.execute(f"SELECT COUNT(*) FROM tasks WHERE {where}", arguments).fetchone()
    return int(total)


def claim(connection: Connection, type: str, limit: int, now: int, lease_until: int) -> list[Task]:
    """Lease up to `limit` waiting tasks to this process, oldest first, each with a new fencing token."""
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
    """Lease an unfinished task to an external worker, or renew its lease. Return whether the task was unfinished.

    If this process holds the lease, it loses it.
    """
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
    """Move an unfinished task to success. Return whether this call did.

    With `attempt`, only the holder of that lease can win.
    """
    changed = connection.execute(
        f"""
        UPDATE tasks SET status = 'success', results = ?, {_FINAL}, updated_at = ?, completed_at = ?
        WHERE id = ? AND status IN ('pending', 'processing') AND attempt = COALESCE(?, attempt)
        """,
        (json.dumps(list(results)), now, now, task_id, attempt),
    )
    return changed.rowcount == 1


def win_failed(connection: Connection, failed: Sequence[FailedTask], now: int) -> set[FailedTask]:
    """Move unfinished tasks to failed. Return those that this call moved."""
    won = set()
    for task in failed:
        changed = connection.execute(
            f"""
            UPDATE tasks SET status = 'failed', error = ?, {_FINAL}, updated_at = ?, completed_at = ?
            WHERE id = ? AND user_id = ? AND status IN ('pending', 'processing') AND attempt = COALESCE(?, attempt)
            """,
            (task.reason, now, now, task.id, task.user_id, task.attempt),
        )
        if changed.rowcount:
            won.add(task)
    return won


def release(connection: Connection, held: Sequence[Task], now: int, *, interrupted: bool) -> None:
    """End the leases of this process on these tasks, so that the tasks wait again.

    A task whose lease was taken over since does not change.
    """
    connection.executemany(
        """
        UPDATE tasks SET waiting = 1, holder = NULL, lease_until = NULL, interruptions = interruptions + ?,
            updated_at = ?
        WHERE id = ? AND status = 'processing' AND holder = 'here' AND attempt = ?
        """,
        [(int(interrupted), now, task.id, task.attempt) for task in held],
    )


def load_expired_leases(connection: Connection, now: int, limit: int) -> list[Task]:
    """Return tasks whose lease has expired, because their holder died or hangs."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM tasks WHERE lease_until <= ? ORDER BY lease_until LIMIT ?", (now, limit)
    )
    return [_task(row) for row in rows]


def end_own_leases(connection: Connection, now: int) -> None:
    """Expire all leases of this process now. For start-up, because the process that held them has died."""
    connection.execute("UPDATE tasks SET lease_until = ? WHERE lease_until > ? AND holder = 'here'", (now, now))


def _where(task_filter: TaskFilter) -> tuple[str, list[Any]]:
    terms: dict[str, Any] = {
        "user_id = ?": task_filter.user_id,
        "status = ?": task_filter.status,
        "type = ?": task_filter.type,
    }
    conditions = {term: value for term, value in terms.items() if value is not None}
    return " AND ".join(conditions), list(conditions.values())


def _task(row: Any) -> Task:
    id, user_id, type, status, input_key, params, results, error, holder, *rest = row
    attempt, interruptions, created, updated, completed = rest
    return Task(
        *(id, user_id, type, TaskStatus(status), input_key, json.loads(params), json.loads(results), error),
        *(Holder(holder) if holder else None, attempt, interruptions, created, updated, completed),
    )
