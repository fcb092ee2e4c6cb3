"""What the task actor can be asked, and what its own jobs report to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.message import Message
from actors.task.task_type import TaskType, TypeLimits
from storage.task.tasks import Task as Task
from storage.task.tasks import TaskFilter as TaskFilter
from storage.task.tasks import TaskStatus as TaskStatus

# --- from users ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskTerms:
    """What a user can know of a task type before creating a task. `cost` in generations."""

    type: TaskType
    cost: int
    limits: TypeLimits


@dataclass(frozen=True, slots=True)
class GetTypes(Message[Sequence[TaskTerms]]):
    """Return all task types."""


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
    """Charge for a task and queue it. `input_url` is the signed URL of a picture that the user has uploaded.

    The same idempotency `key` returns the same task again. Raises UnknownTaskType, BadParameter, LinkInvalid,
    NotAllowed, FileMissing, NotMember, QuotaInsufficient, TooManyTasks, IdempotencyKeyReused.
    """

    user_id: str
    type: str
    input_url: str
    params: Mapping[str, object]
    key: str | None = None


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
class CancelTask(Message[Task]):
    """Fail a task that is not finished, refund it, and return it.

    Raises TaskNotFound, NotAllowed, TaskFinished, TooManyCancellations, and TaskHeld when the task is being carried out
    and its type cannot be stopped.
    """

    user_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class DeleteTask(Message[None]):
    """Delete a finished task and its pictures. Raises TaskNotFound, NotAllowed, TaskUnfinished."""

    user_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class RecordPictures(Message[None]):
    """Record pictures that will be stored, given as (key, size in bytes). To be sent before they are stored."""

    user_id: str
    pictures: Sequence[tuple[str, int]]


# --- from external workers ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReportStatus(Message[int]):
    """An external worker reports the status of a task. Replies the task's fencing token.

    Without `attempt`, the report takes the task, whoever held it. With it, the report counts only while this is the
    task's fencing token. `progress` is in per cent. A result in this server's store must belong to the task's user.
    Raises TaskNotFound, TaskFinished, LeaseLost, NotAllowed.
    """

    task_id: str
    status: TaskStatus
    results: Sequence[str] = ()
    reason: str = "internal"
    progress: int | None = None
    attempt: int | None = None


# --- from the actor's own jobs and timers -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReportProgress(Message[None]):
    """A job of this process has reached `percent` of its task. Changes nothing when its lease was taken over."""

    task: Task
    percent: int


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
    """A job of this process gives its task back, because the server stops. The task can be claimed at once."""

    task: Task


@dataclass(frozen=True, slots=True)
class PostponeTask(Message[None]):
    """A job of this process gives its task back for some seconds. This does not count as an attempt."""

    task: Task
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class InterruptTask(Message[None]):
    """An attempt broke off. The task is tried again after a while, or fails if that has happened too often."""

    task: Task
    reason: str


@dataclass(frozen=True, slots=True)
class ClaimTasks(Message[None]):
    """Claim waiting tasks while a worker is free. It is only a wake-up: it may get lost or arrive twice."""


@dataclass(frozen=True, slots=True)
class RenewLeases(Message[None]):
    """Renew the leases of the attempts that run in this process."""


@dataclass(frozen=True, slots=True)
class Sweep(Message[None]):
    """Repair from rows: end what has taken too long, resume what was postponed, and claim waiting tasks."""
