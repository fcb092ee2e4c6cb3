"""Mutants that set a task's final state instead of winning it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from actors.task.attempts import Attempts
from storage.engine.connection import Connection
from storage.task import transitions
from storage.task.tasks import FailedTask


@contextmanager
def setting_final_states() -> Iterator[None]:
    """Set a final state whatever the task's state was."""
    with setting_success(), setting_failure():
        yield


@contextmanager
def setting_success() -> Iterator[None]:
    def set_success(
        connection: Connection, task_id: str, results: object, attempt: object, now: int, _: object
    ) -> bool:
        return _set(connection, task_id, "success", None, now)

    with patch.object(transitions, "win_success", set_success):
        yield


@contextmanager
def setting_failure() -> Iterator[None]:
    def set_failed(connection: Connection, failed: Sequence[FailedTask], now: int) -> set[FailedTask]:
        return {task for task in failed if _set(connection, task.id, "failed", task.reason, now)}

    with patch.object(transitions, "win_failed", set_failed):
        yield


@contextmanager
def ignoring_lost_leases() -> Iterator[None]:
    """Let a worker go on after it has lost the lease of its task, and end the task."""
    original = transitions.win_success

    def win_success(c: Connection, task_id: str, results: Sequence[str], attempt: object, now: int, until: int) -> bool:
        return original(c, task_id, results, None, now, until)

    with patch.object(transitions, "win_success", win_success), patch.object(Attempts, "_cancel", lambda *_: None):
        yield


def _set(connection: Connection, task_id: str, state: str, error: str | None, now: int) -> bool:
    changed = connection.execute(
        """
        UPDATE tasks SET status = ?, error = coalesce(?, error), waiting = 0, resume_at = NULL, holder = NULL,
            lease_until = NULL,
            updated_at = ?, completed_at = ?
        WHERE id = ?
        """,
        (state, error, now, now, task_id),
    )
    return changed.rowcount == 1
