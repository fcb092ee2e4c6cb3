"""Transitions: the one function through which every change of a task's state passes, and the history that it writes.

A task that is not finished is waiting, postponed or leased. These transitions are possible:

    from waiting     claimed, taken_over, succeeded, failed
    from postponed   resumed, taken_over, succeeded, failed
    from leased      postponed, interrupted, released (only if this process holds it), taken_over, succeeded, failed

A finished task has none. Each transition is one conditional UPDATE, so of two that compete for a task only one changes
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from storage.engine.batch import placeholders
from storage.engine.connection import Connection
from storage.task import pictures
from storage.task.pictures import Use
from storage.task.tasks import FailedTask


class TransitionKind(StrEnum):
    """The values are stored, so they must not change."""

    CLAIMED = "claimed"  # this process begins an attempt
    TAKEN_OVER = "taken_over"  # an external worker begins an attempt
    POSTPONED = "postponed"  # put back because what carries the task out is busy; the task counts as waiting
    INTERRUPTED = "interrupted"  # an attempt broke off and another one will follow
    RELEASED = "released"  # put back because the server stops
    RESUMED = "resumed"  # the time of a postponed or interrupted task has come; this is not part of the history
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Change(NamedTuple):
    """What happens to one task.

    With `user_id`, it happens only if the task belongs to this user; with `attempt`, only while this is the task's
    fencing token; with `only_unheld`, only while nobody holds the task. `until` is the end of the lease, or the time at
    which a postponed or interrupted task resumes. `results` are object keys or URLs. Times are in epoch milliseconds.
    """

    task_id: str
    user_id: str | None = None
    attempt: int | None = None
    only_unheld: bool = False
    reason: str | None = None
    results: tuple[str, ...] = ()
    until: int | None = None
    pictures_until: int | None = None


class Changed(NamedTuple):
    """A change that has happened, and the fencing token of the task after it."""

    change: Change
    attempt: int


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a transition changes a row, and the state from which it is possible."""

    assignments: str
    condition: str
    is_recorded: bool = True


_UNFINISHED = "status IN ('pending', 'processing')"
_HELD_HERE = "holder = 'here'"
_UNHELD = "waiting = 0, holder = NULL, lease_until = NULL"
_NOT_WAITING = "waiting = 0, resume_at = NULL"
_LEASED = f"{_NOT_WAITING}, status = 'processing', attempt = tasks.attempt + 1, lease_until = change.until"
_FINAL = f"{_UNHELD}, resume_at = NULL, completed_at = change.now, pictures_until = change.pictures_until"

_RULES = {
    TransitionKind.CLAIMED: _Rule(f"{_LEASED}, holder = 'here'", "waiting = 1"),
    TransitionKind.TAKEN_OVER: _Rule(f"{_LEASED}, holder = 'outside'", _UNFINISHED),
    TransitionKind.POSTPONED: _Rule(f"{_UNHELD}, resume_at = change.until", _HELD_HERE),
    TransitionKind.INTERRUPTED: _Rule(
        f"{_UNHELD}, resume_at = change.until, interruptions = interruptions + 1, waiting_from = change.now", _HELD_HERE
    ),
    TransitionKind.RELEASED: _Rule("waiting = 1, holder = NULL, lease_until = NULL", _HELD_HERE),
    TransitionKind.RESUMED: _Rule("waiting = 1, resume_at = NULL", "resume_at <= change.now", is_recorded=False),
    TransitionKind.SUCCEEDED: _Rule(
        f"{_FINAL}, status = 'success', results = change.results, progress = 100", _UNFINISHED
    ),
    TransitionKind.FAILED: _Rule(f"{_FINAL}, status = 'failed', error = change.reason", _UNFINISHED),
}


def apply(connection: Connection, kind: TransitionKind, changes: Sequence[Change], now: int) -> list[Changed]:
    """Make those changes that are possible, write them into the history, and return them."""
    return [changed for part in _parts(changes) for changed in _apply_distinct(connection, kind, part, now)]


def _parts(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """Yield parts in which no task occurs twice, because one statement can change a row only once."""
    while changes:
        part = {change.task_id: change for change in reversed(changes)}  # the first change of each task
        yield list(part.values())
        changes = [change for change in changes if part[change.task_id] is not change]


def _apply_distinct(connection: Connection, kind: TransitionKind, changes: Sequence[Change], now: int) -> list[Changed]:
    rule = _RULES[kind]
    rows = connection.execute(
        f"""
        WITH change (task_id, user_id, attempt, only_unheld, reason, results, until, pictures_until, now)
            AS (VALUES {placeholders(len(changes), 9)})
        UPDATE tasks SET {rule.assignments}, transitions = transitions + {rule.is_recorded:d}, updated_at = change.now
        FROM change WHERE tasks.id = change.task_id AND tasks.{rule.condition}
            AND tasks.user_id = COALESCE(change.user_id, tasks.user_id)
            AND tasks.attempt = COALESCE(change.attempt, tasks.attempt)
            AND (change.only_unheld = 0 OR tasks.holder IS NULL)
        RETURNING id, user_id, input_key, attempt, transitions
        """,
        [
            value
            for c in changes
            for value in (
                *(c.task_id, c.user_id, c.attempt, c.only_unheld, c.reason, json.dumps(c.results)),
                *(c.until, c.pictures_until, now),
            )
        ],
    ).fetchall()
    by_id = {change.task_id: change for change in changes}
    changed = [_Row(by_id[row[0]], *row[1:]) for row in rows]
    if rule.is_recorded:
        _record(connection, kind, changed, now)
    if kind in (TransitionKind.SUCCEEDED, TransitionKind.FAILED):
        pictures.add_uses(connection, [use for row in changed for use in row.uses()])
    return [Changed(row.change, row.attempt) for row in changed]


class _Row(NamedTuple):
    """What a transition needs to know of a row that it has changed. `number` counts its transitions."""

    change: Change
    user_id: str
    input_key: str
    attempt: int
    number: int

    def uses(self) -> Iterator[Use]:
        """Yield the pictures that the finished task uses."""
        for key in pictures.used_keys(self.input_key, self.change.results):
            yield Use(key, self.user_id, self.change.pictures_until or 0)


def _record(connection: Connection, kind: TransitionKind, changed: Sequence[_Row], now: int) -> None:
    if changed:
        rows = [(row.change.task_id, row.number, kind, row.attempt, row.change.reason, now) for row in changed]
        connection.execute(
            f"""
            INSERT INTO task_transitions (task_id, number, kind, attempt, reason, at)
            VALUES {placeholders(len(rows), 6)}
            """,
            [value for row in rows for value in row],
        )


def win_success(
    connection: Connection,
    task_id: str,
    results: Sequence[str],
    attempt: int | None,
    now: int,
    pictures_until: int | None = None,
) -> bool:
    """Move an unfinished task to success. Return whether this call did.

    With `attempt`, only while this is the fencing token. An attempt that was interrupted has the current token until
    the task is claimed again, so its late result is not lost.
    """
    change = Change(task_id, attempt=attempt, results=tuple(results), pictures_until=pictures_until)
    return bool(apply(connection, TransitionKind.SUCCEEDED, [change], now))


def win_failed(connection: Connection, failed: Sequence[FailedTask], now: int) -> set[FailedTask]:
    """Move unfinished tasks to failed. Return those that this call moved."""
    if not failed:
        return set()
    by_change = {
        Change(t.id, t.user_id, t.attempt, t.only_unheld, t.reason, pictures_until=t.pictures_until): t for t in failed
    }
    return {by_change[changed.change] for changed in apply(connection, TransitionKind.FAILED, list(by_change), now)}


@dataclass(frozen=True, slots=True)
class Transition:
    """A row of a task's history. `attempt` is that of the lease that began or ended; `at` in epoch milliseconds."""

    kind: TransitionKind
    attempt: int
    reason: str | None
    at: int


def history(connection: Connection, task_id: str) -> list[Transition]:
    """Return the transitions of a task, the oldest first."""
    rows = connection.execute(
        "SELECT kind, attempt, reason, at FROM task_transitions WHERE task_id = ? ORDER BY number", (task_id,)
    )
    return [Transition(TransitionKind(kind), *rest) for kind, *rest in rows]
