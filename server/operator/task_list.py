"""What `darkroom tasks list` prints."""

from __future__ import annotations

from collections.abc import Mapping

from actors.task.administration import Selected, SelectedTasks
from actors.task.messages import Task
from server.http.times import iso
from server.operator.command import Report
from server.operator.table import table
from server.operator.times import duration, moment

_HEADER = ("id", "user", "type", "status", "holder", "attempts", "progress", "created (UTC)", "age", "reason")


def report_list(selected: SelectedTasks, which: Selected, phones: Mapping[str, str]) -> Report:
    """Return the list of tasks; `phones` has the phone of each user by user id."""
    facts = [_fact(task, phones[task.user_id]) for task in selected.tasks]
    if not selected.tasks:
        return Report("no tasks match" if which is Selected.ALL else f"no {which} tasks match", facts)
    text = table(_HEADER, [_row(task, phones[task.user_id], selected.at) for task in selected.tasks])
    more = "" if selected.are_all else f"\nonly the first {len(selected.tasks)} are shown; --limit shows more"
    return Report(text + more, facts)


def _row(task: Task, phone: str, now: int) -> tuple[str, ...]:
    return (
        *(task.id, phone, task.type, task.status.value, task.holder or "-", str(task.attempt), f"{task.progress} %"),
        *(moment(task.created_at), duration(now - task.created_at), task.error or "-"),
    )


def _fact(task: Task, phone: str) -> dict[str, object]:
    return {
        "id": task.id,
        "userId": task.user_id,
        "phone": phone,
        "type": task.type,
        "status": task.status.value,
        "holder": task.holder,
        "attempts": task.attempt,
        "interruptions": task.interruptions,
        "progress": task.progress,
        "reason": task.error,
        "createdAt": iso(task.created_at),
        "completedAt": iso(task.completed_at),
    }
