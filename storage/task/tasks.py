"""Tasks: creating, reading and listing them. transitions.py changes their state, and queue.py finds what is due."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
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
    `attempt` is the fencing token. `interruptions` counts the attempts that broke off. `progress` is in per cent.
    `turn` is its place in the queue of its type. `pictures_until` is when the pictures of a finished task are deleted.
    """

    id: str
    user_id: str
    type: str
    status: TaskStatus
    input_key: str
    params: dict[str, Any]
    results: list[str]
    error: str | None
    holder: Holder | None
    attempt: int
    interruptions: int
    progress: int
    turn: int
    pictures_until: int | None
    created_at: int
    updated_at: int
    completed_at: int | None


class NewTask(NamedTuple):
    """A task to be created. It explains a charge.

    `turn` is its place in the queue of its type; `retry_of` is the failed task that the operator retries with it.
    """

    id: str
    user_id: str
    type: str
    input_key: str
    params: dict[str, Any]
    created_at: int
    turn: int = 0
    retry_of: str | None = None


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that has failed. It explains a refund.

    With `attempt`, it fails only while this is its fencing token; with `only_unheld`, only while nobody holds it.
    `pictures_until` is when its input may be deleted, in epoch milliseconds.
    """

    id: str
    user_id: str
    reason: str
    attempt: int | None = None
    only_unheld: bool = False
    pictures_until: int | None = None


COLUMNS = """id, user_id, type, status, input_key, params, results, error, holder, attempt, interruptions, progress,
    turn, pictures_until, created_at, updated_at, completed_at"""


def add(connection: Connection, tasks: Sequence[NewTask]) -> None:
    """Insert new tasks, which wait from now on."""
    if not tasks:
        return
    columns = "id, user_id, type, status, input_key, params, turn, retry_of, waiting_from, created_at, updated_at"
    connection.execute(
        f"INSERT INTO tasks ({columns}) VALUES {placeholders(len(tasks), 11)}",
        [
            value
            for t in tasks
            for value in (
                *(t.id, t.user_id, t.type, "pending", t.input_key, json.dumps(t.params), t.turn, t.retry_of),
                *(t.created_at, t.created_at, t.created_at),
            )
        ],
    )


def load(connection: Connection, ids: Collection[str]) -> dict[str, Task]:
    """Return tasks by id. Ids that do not exist, and deleted tasks, are left out."""
    rest = f"FROM tasks WHERE id IN {placeholders(1, len(ids))} AND deleted_at IS NULL"
    rows = fetch_json(connection, COLUMNS, rest, tuple(ids))
    return {row[0]: to_task(row) for row in rows}


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
        f"SELECT {COLUMNS} FROM tasks WHERE {where} AND id < ? ORDER BY id DESC LIMIT ? OFFSET ?",
        (*arguments, task_filter.before or "g", limit, offset),  # "g" sorts above every hexadecimal id
    )
    return [to_task(row) for row in rows]


def count(connection: Connection, task_filter: TaskFilter) -> int:
    """Return the number of tasks, ignoring `before`."""
    where, arguments = _where(task_filter)
    (total,) = connection.execute(f"SELECT COUNT(*) FROM tasks WHERE {where}", arguments).fetchone()
    return int(total)


def delete(connection: Connection, task_id: str, now: int) -> bool:
    """Mark a finished task as deleted: its results are gone, and nobody sees it. Return whether this call did.

    The row stays, because the ledger and idempotency keys refer to it.
    """
    changed = connection.execute(
        """
        UPDATE tasks SET deleted_at = ?, results = '[]', updated_at = ?
        WHERE id = ? AND completed_at IS NOT NULL AND deleted_at IS NULL
        """,
        (now, now, task_id),
    )
    return changed.rowcount == 1


def _where(task_filter: TaskFilter) -> tuple[str, list[Any]]:
    terms: dict[str, Any] = {
        "user_id = ?": task_filter.user_id,
        "status = ?": task_filter.status,
        "type = ?": task_filter.type,
    }
    conditions = {term: value for term, value in terms.items() if value is not None}
    return " AND ".join([*conditions, "deleted_at IS NULL"]), list(conditions.values())


def to_task(row: Sequence[Any]) -> Task:
    """Make a task of the values of COLUMNS."""
    id, user_id, type, status, input_key, params, results, error, holder, *rest = row
    return Task(
        *(id, user_id, type, TaskStatus(status), input_key, json.loads(params), json.loads(results), error),
        Holder(holder) if holder else None,
        *rest,
    )
