"""Transitions of tasks: which are possible from each state, and what happens when several compete in one statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import pytest

from storage.auth import users
from storage.auth.users import User
from storage.engine.connection import Connection
from storage.engine.migrate import migrate
from storage.task import queue, tasks
from storage.task.tasks import FailedTask, NewTask
from storage.task.transitions import Change, TransitionKind, apply, history, win_failed, win_success

TASK = "t"
NOW = 1_000
K = TransitionKind


@pytest.fixture
def connection() -> Iterator[Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    users.add(connection, User("u", "phone", 0))
    tasks.add(connection, [NewTask(TASK, "u", "type", "input", {}, 0)])
    yield connection
    connection.close()


def wait(connection: Connection) -> None:
    """A new task waits."""


def hold_here(connection: Connection) -> None:
    assert queue.claim(connection, "type", 1, NOW, NOW + 10)


def postpone(connection: Connection) -> None:
    hold_here(connection)
    assert apply(connection, K.POSTPONED, [Change(TASK, until=NOW + 5)], NOW)


def be_due(connection: Connection) -> None:
    hold_here(connection)
    assert apply(connection, K.POSTPONED, [Change(TASK, until=NOW)], NOW)


def hold_outside(connection: Connection) -> None:
    assert queue.take_over(connection, TASK, NOW, NOW + 10)


def succeed(connection: Connection) -> None:
    assert win_success(connection, TASK, [], None, NOW)


def fail(connection: Connection) -> None:
    assert win_failed(connection, [FailedTask(TASK, "u", "reason")], NOW)


ENDS = {K.SUCCEEDED, K.FAILED}
PUT_BACK = {K.POSTPONED, K.INTERRUPTED, K.RELEASED}
POSSIBLE: dict[Callable[[Connection], None], set[TransitionKind]] = {
    wait: {K.CLAIMED, K.TAKEN_OVER, *ENDS},
    postpone: {K.TAKEN_OVER, *ENDS},
    be_due: {K.RESUMED, K.TAKEN_OVER, *ENDS},
    hold_here: {*PUT_BACK, K.TAKEN_OVER, *ENDS},
    hold_outside: {K.TAKEN_OVER, *ENDS},
    succeed: set(),
    fail: set(),
}


@pytest.mark.parametrize("kind", list(K))
@pytest.mark.parametrize("reach", list(POSSIBLE))
def test_only_these_transitions_are_possible(
    connection: Connection, reach: Callable[[Connection], None], kind: TransitionKind
) -> None:
    reach(connection)
    before, steps = tasks.load(connection, [TASK]), history(connection, TASK)
    changed = apply(connection, kind, [Change(TASK, reason="why", until=NOW + 10)], NOW)
    assert bool(changed) == (kind in POSSIBLE[reach])
    if changed:
        recorded = [] if kind is K.RESUMED else [kind]
        assert [step.kind for step in history(connection, TASK)] == [*(step.kind for step in steps), *recorded]
    else:
        assert (tasks.load(connection, [TASK]), history(connection, TASK)) == (before, steps)


@pytest.mark.parametrize(
    "condition",
    [Change(TASK, user_id="another"), Change(TASK, attempt=2), Change(TASK, only_unheld=True), Change("another task")],
)
def test_a_change_whose_condition_does_not_hold_changes_nothing(connection: Connection, condition: Change) -> None:
    hold_here(connection)
    before = tasks.load(connection, [TASK])
    assert apply(connection, K.FAILED, [condition], NOW) == []
    assert tasks.load(connection, [TASK]) == before


def test_of_several_changes_of_a_task_the_first_possible_one_happens(connection: Connection) -> None:
    hold_here(connection)
    failures = [
        FailedTask(TASK, "u", "outdated", attempt=9),
        FailedTask(TASK, "u", "first"),
        FailedTask(TASK, "u", "second"),
    ]
    assert win_failed(connection, failures, NOW) == {failures[1]}
    assert tasks.load(connection, [TASK])[TASK].error == "first"


def test_equal_changes_of_a_task_happen_once(connection: Connection) -> None:
    failure = FailedTask(TASK, "u", "reason")
    assert win_failed(connection, [failure, failure], NOW) == {failure}
    assert len(history(connection, TASK)) == 1
