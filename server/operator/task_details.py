"""What `darkroom tasks show` prints: everything that is known of a task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from actors.quota.messages import LedgerEntry
from actors.task.administration import TaskDetails, TaskRecord, Transition, TransitionKind
from server.http.messages import task_failure_text
from server.http.times import iso
from server.operator.command import Report
from server.operator.table import aligned, table
from server.operator.times import moment

_HOLDERS = {TransitionKind.CLAIMED: "here", TransitionKind.TAKEN_OVER: "outside"}


def describe(details: TaskDetails, phone: str) -> Report:
    """Return the details of a task of the user with this phone."""
    parts = [f"task {details.record.task.id}", _summary(details, phone), "", "history", _history_table(details)]
    text = "\n".join([*parts, "", "ledger", _ledger_table(details)])
    return Report(text, _facts(details, phone))


def _summary(details: TaskDetails, phone: str) -> str:
    task = details.record.task
    failures = details.type.failures if details.type is not None else {}
    failure = "" if task.error is None else f": {task_failure_text(task.error, failures, english=True)}"
    rows = [
        ("user", f"{phone} ({task.user_id})"),
        ("type", f"{task.type} {json.dumps(task.params, ensure_ascii=False)}"),
        ("status", f"{task.status}{failure}"),
        ("state", _state(details.record)),
        ("progress", f"{task.progress} %"),
        ("attempts", f"{task.attempt}, of which {task.interruptions} broke off"),
        ("input", task.input_key),
        *[("result", result) for result in task.results],
        ("pictures", f"kept until {moment(task.pictures_until)}" if task.pictures_until else "kept until it ends"),
        *([("retry of", details.record.retry_of)] if details.record.retry_of else []),
        *[("retried as", retry) for retry in details.retries],
    ]
    return aligned([(f"  {name}", value) for name, value in rows])


def _state(record: TaskRecord) -> str:
    """Say what the task is doing now. All times are in UTC."""
    task = record.task
    if record.deleted_at is not None:
        return f"deleted by its user at {moment(record.deleted_at)}"
    if task.completed_at is not None:
        return f"ended at {moment(task.completed_at)}"
    if task.holder is not None:
        return f"held {task.holder}, with a lease until {moment(record.lease_until)}"
    if record.resume_at is not None:
        return f"put back until {moment(record.resume_at)}"
    return f"waiting since {moment(record.waiting_from)}"


def _steps(details: TaskDetails) -> Iterator[tuple[Transition, str | None]]:
    """Yield the transitions, each with the holder of the lease that it began or ended."""
    holder: str | None = None
    for step in details.history:
        holder = _HOLDERS.get(step.kind, holder)
        yield step, holder
        holder = holder if step.kind in _HOLDERS else None


def _history_table(details: TaskDetails) -> str:
    created = (moment(details.record.task.created_at), "created", "-", "-", "-")
    steps = [
        (moment(step.at), step.kind.replace("_", " "), str(step.attempt or "-"), holder or "-", step.reason or "-")
        for step, holder in _steps(details)
    ]
    deleted = [(moment(at), "deleted", "-", "-", "-")] if (at := details.record.deleted_at) is not None else []
    return table(("  time (UTC)", "what", "attempt", "holder", "reason"), _indented([created, *steps, *deleted]))


def _ledger_table(details: TaskDetails) -> str:
    rows = [
        (moment(entry.created_at), entry.kind.value, f"{entry.amount:+}", str(entry.balance), reason or "-")
        for entry, reason in details.entries
    ]
    return table(("  time (UTC)", "kind", "amount", "balance", "reason"), _indented(rows))


def _indented(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    return [(f"  {first}", *rest) for first, *rest in rows]


def _facts(details: TaskDetails, phone: str) -> dict[str, object]:
    record, task = details.record, details.record.task
    return {
        "id": task.id,
        "userId": task.user_id,
        "phone": phone,
        "type": task.type,
        "params": task.params,
        "status": task.status.value,
        "reason": task.error,
        "progress": task.progress,
        "attempts": task.attempt,
        "interruptions": task.interruptions,
        "holder": task.holder,
        "leaseUntil": iso(record.lease_until),
        "resumeAt": iso(record.resume_at),
        "inputKey": task.input_key,
        "results": task.results,
        "picturesUntil": iso(task.pictures_until),
        "createdAt": iso(task.created_at),
        "completedAt": iso(task.completed_at),
        "deletedAt": iso(record.deleted_at),
        "retryOf": record.retry_of,
        "retries": list(details.retries),
        "history": [_step_fact(step, holder) for step, holder in _steps(details)],
        "ledger": [_entry_fact(entry, reason) for entry, reason in details.entries],
    }


def _step_fact(step: Transition, holder: str | None) -> dict[str, object]:
    return {
        "at": iso(step.at),
        "kind": step.kind.value,
        "attempt": step.attempt,
        "holder": holder,
        "reason": step.reason,
    }


def _entry_fact(entry: LedgerEntry, reason: str | None) -> dict[str, object]:
    return {
        "at": iso(entry.created_at),
        "kind": entry.kind.value,
        "amount": entry.amount,
        "balance": entry.balance,
        "reason": reason,
    }
