"""The queue, which is the tasks table: which tasks can be claimed, which leases have expired, how many tasks wait."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from storage.engine.batch import placeholders
from storage.engine.connection import Connection
from storage.task import tasks
from storage.task.tasks import COLUMNS, Task, to_task
from storage.task.transitions import Change, TransitionKind, apply


def claim(connection: Connection, type: str, limit: int, now: int, lease_until: int) -> list[Task]:
    """Lease up to `limit` waiting tasks of a type to this process, in the order of their turns."""
    changes = [Change(task_id, until=lease_until) for task_id in claimable(connection, type, limit)]
    claimed = [changed.change.task_id for changed in apply(connection, TransitionKind.CLAIMED, changes, now)]
    leased = tasks.load(connection, claimed) if claimed else {}
    return [leased[change.task_id] for change in changes if change.task_id in leased]


def claimable(connection: Connection, type: str, limit: int) -> list[str]:
    """Return the ids of waiting tasks of a type, in the order of their turns."""
    rows = connection.execute(
        "SELECT id FROM tasks WHERE waiting = 1 AND type = ? ORDER BY turn, id LIMIT ?", (type, limit)
    )
    return [task_id for (task_id,) in rows]


def resume(connection: Connection, now: int, limit: int) -> int:
    """Let up to `limit` postponed tasks whose time has come wait again. Return how many."""
    rows = connection.execute("SELECT id FROM tasks WHERE resume_at <= ? ORDER BY resume_at LIMIT ?", (now, limit))
    return len(apply(connection, TransitionKind.RESUMED, [Change(task_id) for (task_id,) in rows.fetchall()], now))


def correct_future_ends(connection: Connection, now: int, latest_resume: int, latest_lease: int) -> None:
    """Correct times that are further ahead than any that is written now: the clock was ahead, and was set right since.

    Without this a task could be postponed, and a lease could last, for as long as the clock was ahead.
    """
    connection.execute("UPDATE tasks SET resume_at = ? WHERE resume_at > ?", (now, latest_resume))
    connection.execute("UPDATE tasks SET lease_until = ? WHERE lease_until > ?", (latest_lease, latest_lease))


def correct_future_starts(connection: Connection, type: str, now: int) -> None:
    """Let tasks of a type that seem to begin to wait in the future wait from now on. See correct_future_ends."""
    connection.execute(
        """
        UPDATE tasks SET waiting_from = ?
        WHERE completed_at IS NULL AND holder IS NULL AND type = ? AND waiting_from > ?
        """,
        (now, type, now),
    )


def waiting_since(connection: Connection, type: str, before: int, limit: int, skip: int) -> list[Task]:
    """Return tasks of a type that nobody holds and that began to wait before a time (epoch milliseconds)."""
    rows = connection.execute(
        f"""
        SELECT {COLUMNS} FROM tasks
        WHERE completed_at IS NULL AND holder IS NULL AND type = ? AND waiting_from <= ?
        ORDER BY waiting_from LIMIT ? OFFSET ?
        """,
        (type, before, limit, skip),
    )
    return [to_task(row) for row in rows]


def expired_leases(connection: Connection, now: int, limit: int, skip: int) -> list[Task]:
    """Return tasks whose lease has expired, because their holder died or hangs."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM tasks WHERE lease_until <= ? ORDER BY lease_until LIMIT ? OFFSET ?", (now, limit, skip)
    )
    return [to_task(row) for row in rows]


def renew_leases(connection: Connection, held: Sequence[tuple[str, int]], lease_until: int) -> set[str]:
    """Extend leases of this process, given as (task id, fencing token). Return the ids of those that it still has."""
    if not held:
        return set()
    rows = connection.execute(
        f"""
        WITH held (task_id, attempt) AS (VALUES {placeholders(len(held), 2)})
        UPDATE tasks SET lease_until = ?
        FROM held WHERE tasks.id = held.task_id AND tasks.attempt = held.attempt AND tasks.holder = 'here'
        RETURNING id
        """,
        [*(value for pair in held for value in pair), lease_until],
    )
    return {task_id for (task_id,) in rows.fetchall()}


def take_over(connection: Connection, task_id: str, now: int, lease_until: int) -> int | None:
    """Lease an unfinished task to an external worker. Return the fencing token, or None when the task is finished.

    Whoever held the lease loses it.
    """
    taken = apply(connection, TransitionKind.TAKEN_OVER, [Change(task_id, until=lease_until)], now)
    return taken[0].attempt if taken else None


def keep_lease(connection: Connection, task_id: str, attempt: int, lease_until: int) -> bool:
    """Extend the lease of an external worker. Return whether the worker still has it."""
    changed = connection.execute(
        "UPDATE tasks SET lease_until = ? WHERE id = ? AND attempt = ? AND holder = 'outside'",
        (lease_until, task_id, attempt),
    )
    return changed.rowcount == 1


def end_own_leases(connection: Connection, now: int) -> None:
    """Expire all leases of this process now. For start-up, because the process that held them has died."""
    connection.execute("UPDATE tasks SET lease_until = ? WHERE lease_until > ? AND holder = 'here'", (now, now))


def set_progress(connection: Connection, progress: Collection[tuple[str, int, int]]) -> None:
    """Raise the progress of leased tasks, given as (id, fencing token, per cent). Progress never decreases."""
    connection.execute(
        f"""
        WITH report (task_id, attempt, progress) AS (VALUES {placeholders(len(progress), 3)})
        UPDATE tasks SET progress = MAX(tasks.progress, report.progress)
        FROM report WHERE tasks.id = report.task_id AND tasks.attempt = report.attempt AND tasks.holder IS NOT NULL
        """,
        [value for each in progress for value in each],
    )


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many tasks of a type nobody holds, and when the oldest of them began to wait (epoch milliseconds)."""

    tasks: int
    oldest: int | None


def backlogs(connection: Connection) -> dict[str, Backlog]:
    """Return the backlog of each type that has one."""
    rows = connection.execute(
        """
        SELECT type, COUNT(*), MIN(waiting_from) FROM tasks
        WHERE completed_at IS NULL AND holder IS NULL GROUP BY type
        """
    )
    return {type: Backlog(count, oldest) for type, count, oldest in rows}


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of a type's waiting tasks: the first one, and the last one of each user."""

    first: int
    last: dict[str, int]


def turns(connection: Connection, type: str) -> Turns:
    """Return the turns of the tasks of a type that nobody holds. For start-up: it reads them all."""
    rows = connection.execute(
        """
        SELECT user_id, MIN(turn), MAX(turn) FROM tasks
        WHERE completed_at IS NULL AND holder IS NULL AND type = ? GROUP BY user_id
        """,
        (type,),
    ).fetchall()
    return Turns(min((first for _, first, _ in rows), default=0), {user: last for user, _, last in rows})


def next_end(connection: Connection, after: int) -> int | None:
    """Return when, later than `after`, the next lease expires or the next postponed task resumes."""
    (lease,) = connection.execute("SELECT MIN(lease_until) FROM tasks WHERE lease_until > ?", (after,)).fetchone()
    (resume,) = connection.execute("SELECT MIN(resume_at) FROM tasks WHERE resume_at > ?", (after,)).fetchone()
    return min((end for end in (lease, resume) if end is not None), default=None)


def next_waiting_from(connection: Connection, type: str, after: int) -> int | None:
    """Return when, later than `after`, the first of a type's tasks that nobody holds began to wait."""
    (first,) = connection.execute(
        """
        SELECT MIN(waiting_from) FROM tasks
        WHERE completed_at IS NULL AND holder IS NULL AND type = ? AND waiting_from > ?
        """,
        (type, after),
    ).fetchone()
    return int(first) if first is not None else None


def count_claimable(connection: Connection, types: Sequence[str]) -> int:
    """Return how many tasks of these types can be claimed. It reads them all."""
    (count,) = connection.execute(
        f"SELECT COUNT(*) FROM tasks WHERE waiting = 1 AND type IN ({', '.join('?' * len(types))})", types
    ).fetchone()
    return int(count)
