"""What the operator reads of tasks: lists of everybody's tasks, and the whole row of one task."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from storage.engine.connection import Connection
from storage.task.tasks import COLUMNS, Task, to_task

SEARCHED = 100_000  # how many of the newest tasks, or failed tasks, a list of everybody's tasks looks at


class Selected(StrEnum):
    """Which tasks a list has. Deleted tasks are in none."""

    OPEN = "open"  # pending or processing, the oldest first
    FAILED = "failed"  # the newest first
    ALL = "all"  # the newest first


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects tasks, of one type or of one user only if these are given. `limit` is how many are returned at most."""

    selected: Selected
    limit: int
    type: str | None = None
    user_id: str | None = None


_STATUS = {
    Selected.OPEN: "status IN ('pending', 'processing')",
    Selected.FAILED: "status = 'failed'",
    Selected.ALL: "TRUE",
}
_TYPE = "type = COALESCE(:type, type)"

# This reads all unfinished tasks, through the indexes of those that nobody holds and of those that are leased. The plus
# sign keeps SQLite from reading the whole table in the order of its ids instead.
_OPEN = f"""
    WITH unfinished (id) AS (
        SELECT id FROM tasks WHERE completed_at IS NULL AND holder IS NULL AND {_TYPE}
        UNION ALL SELECT id FROM tasks WHERE lease_until IS NOT NULL AND {_TYPE}
    )
    SELECT {COLUMNS} FROM tasks WHERE id IN (SELECT id FROM unfinished ORDER BY +id LIMIT :limit) ORDER BY id
    """


def _newest(status: str) -> str:
    """Return the statement that searches the newest tasks with a status. It reads no more than SEARCHED rows."""
    return f"""
        SELECT {COLUMNS} FROM tasks WHERE {status} AND deleted_at IS NULL AND {_TYPE} AND id >= COALESCE(
            (SELECT id FROM tasks WHERE {status} ORDER BY id DESC LIMIT 1 OFFSET {SEARCHED - 1}), '')
        ORDER BY id DESC LIMIT :limit
        """


NEWEST = {selected: _newest(_STATUS[selected]) for selected in (Selected.FAILED, Selected.ALL)}


def select(connection: Connection, selection: Selection) -> list[Task]:
    """Return the selected tasks."""
    if selection.user_id is not None:
        sql = _of_user(selection.selected)
    else:
        sql = _OPEN if selection.selected is Selected.OPEN else NEWEST[selection.selected]
    arguments = {"type": selection.type, "user_id": selection.user_id, "limit": selection.limit}
    return [to_task(row) for row in connection.execute(sql, arguments)]


def _of_user(selected: Selected) -> str:
    order = "ASC" if selected is Selected.OPEN else "DESC"
    return f"""
        SELECT {COLUMNS} FROM tasks
        WHERE user_id = :user_id AND deleted_at IS NULL AND {_STATUS[selected]} AND {_TYPE}
        ORDER BY id {order} LIMIT :limit
        """


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """The whole row of a task. Times are in epoch milliseconds; `retry_of` is the failed task that this one retries."""

    task: Task
    waiting_from: int
    resume_at: int | None
    lease_until: int | None
    deleted_at: int | None
    retry_of: str | None


def find(connection: Connection, task_id: str) -> TaskRecord | None:
    """Return the row of a task, also of a deleted one."""
    row = connection.execute(
        f"SELECT waiting_from, resume_at, lease_until, deleted_at, retry_of, {COLUMNS} FROM tasks WHERE id = ?",
        (task_id,),
    ).fetchone()
    return None if row is None else TaskRecord(to_task(row[5:]), *row[:5])


def retries(connection: Connection, task_id: str) -> list[str]:
    """Return the ids of the tasks that retry a task, the oldest first."""
    rows = connection.execute("SELECT id FROM tasks WHERE retry_of = ? ORDER BY id", (task_id,))
    return [retry_id for (retry_id,) in rows]
