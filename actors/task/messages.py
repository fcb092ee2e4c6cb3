"""What the task actor can be asked, and what its own jobs report to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.idempotency import IdempotencyKey
from actors.message import Message
from actors.ports import PictureTemplate
from storage.task.tasks import Task as Task
from storage.task.tasks import TaskFilter as TaskFilter
from storage.task.tasks import TaskStatus as TaskStatus

# --- from users and from external workers -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskCreated:
    """The result of creating a task.

    `balance` is what the user has left after the charge, `created_at` in epoch milliseconds.
    """

    task_id: str
    created_at: int
    balance: int


@dataclass(frozen=True, slots=True)
class CreateTask(Message[TaskCreated]):
    """Charge for a task of a known type and queue it. `input_key` names a picture that the user owns.

    Raises NotMember, QuotaInsufficient, IdempotencyKeyReused.
    """

    user_id: str
    type: str
    input_key: str
    template: PictureTemplate
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class GetTask(Message[Task]):
    """Return one task. Raises TaskNotFound, and NotAllowed when it belongs to another user."""

    user_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of a user's tasks.

    `next` starts the following page and is None on the last one; `total` counts all tasks that match the filter.
    """

    tasks: Sequence[Task]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class ListTasks(Message[TaskPage]):
    """Return the tasks that match the filter, newest first."""

    filter: TaskFilter
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class ReportStatus(Message[None]):
    """An external worker reports the status of a task. Raises TaskNotFound, TaskFinished."""

    task_id: str
    status: TaskStatus
    results: Sequence[str]
    reason: str


# --- from the actor's own jobs and timers -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FinishTask(Message[None]):
    """A job of this process has made the pictures. Changes nothing when its lease was taken over."""

    task: Task
    results: Sequence[str]


@dataclass(frozen=True, slots=True)
class FailTask(Message[None]):
    """A job of this process cannot complete the task. Changes nothing when its lease was taken over."""

    task: Task
    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseTask(Message[None]):
    """A job of this process gives its task back to the queue. `interrupted`: the attempt counts as an interruption."""

    task: Task
    interrupted: bool


@dataclass(frozen=True, slots=True)
class ClaimTasks(Message[None]):
    """Claim waiting tasks while a worker is free. It is only a wake-up: it may get lost or arrive twice."""


@dataclass(frozen=True, slots=True)
class Sweep(Message[None]):
    """Repair from rows: take back tasks whose lease expired, and claim waiting tasks."""
