"""What the operator reads when a command about a task is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.errors import DomainError, FileMissing, TaskFinished, TaskHeld, TaskNotFailed, TaskNotFound
from server.operator.command import OperatorFailed

_REFUSALS: dict[type[DomainError], Callable[[str, DomainError], str]] = {
    TaskNotFound: lambda task, _: f"there is no task {task}; `darkroom tasks list --status all` shows the ids",
    TaskFinished: lambda task, fault: (
        f"task {task} has ended already ({fault.facts['status']}), and that never changes"
    ),
    TaskHeld: lambda task, _: (
        f"task {task} is being carried out, and tasks of its type cannot be cancelled then; "
        f"`darkroom tasks fail {task} --reason …` ends it all the same"
    ),
    TaskNotFailed: lambda task, fault: (
        f"task {task} cannot be retried, because only a failed task can; its status is {fault.facts['status']}"
    ),
    FileMissing: lambda task, _: (
        f"task {task} cannot be retried, because its input picture was deleted; its user has to upload it again"
    ),
}


@contextmanager
def refusals(task: str) -> Iterator[None]:
    """Say which task is refused and what the operator can do."""
    try:
        yield
    except tuple(_REFUSALS) as fault:
        raise OperatorFailed(_REFUSALS[type(fault)](task, fault)) from fault
