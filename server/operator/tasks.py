"""The commands about tasks."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from actors.auth.administration import GetPhones
from actors.task.administration import CancelForUser, EndTask, GetTaskDetails, Selected, Selection, SelectTasks
from actors.task.messages import Task
from actors.task.retry import Retried, RetryTask
from server.http.body import Line
from server.http.times import iso
from server.operator.command import Actors, Arguments, OperatorCommand, Phone, Report
from server.operator.refusals import refusals
from server.operator.task_details import describe
from server.operator.task_list import report_list
from server.operator.users import find_user


def _strip(reason: object) -> object:
    if isinstance(reason, str) and not reason.strip():
        raise ValueError("the reason must not be empty; give it with --reason")
    return reason.strip() if isinstance(reason, str) else reason


Reason = Annotated[Line, BeforeValidator(_strip), Field(max_length=400)]


class ListArguments(Arguments):
    status: Selected = Field(
        Selected.OPEN,
        description="open: pending or processing, the oldest first. failed, all: the newest first; without --user, "
        "the newest 100,000 are searched.",
    )
    type: str | None = Field(None, description="Only tasks of this type, such as basic_clean.")
    user: Phone | None = Field(None, description="Only tasks of the user with this phone.")
    limit: int = Field(50, ge=1, le=1000, description="How many tasks to list at most.")


class TaskArguments(Arguments):
    positional = ("task",)
    task: str = Field(description="The id of the task.")


class FailArguments(TaskArguments):
    reason: Reason = Field(description="Why the task fails. Its user sees this sentence.")


class RetryArguments(TaskArguments):
    reason: Reason = Field(description="Why you pay for it. It is kept with the adjustment in the user's ledger.")


async def _list(actors: Actors, arguments: ListArguments) -> Report:
    user_id = await find_user(actors.auth, arguments.user) if arguments.user else None
    selection = Selection(arguments.status, arguments.limit, arguments.type, user_id)
    selected = await actors.tasks.ask(SelectTasks(selection))
    phones = await actors.auth.ask(GetPhones(sorted({task.user_id for task in selected.tasks})))
    return report_list(selected, arguments.status, phones)


async def _show(actors: Actors, arguments: TaskArguments) -> Report:
    with refusals(arguments.task):
        details = await actors.tasks.ask(GetTaskDetails(arguments.task))
    user_id = details.record.task.user_id
    return describe(details, (await actors.auth.ask(GetPhones([user_id])))[user_id])


async def _retry(actors: Actors, arguments: RetryArguments) -> Report:
    with refusals(arguments.task):
        retried = await actors.tasks.ask(RetryTask(arguments.task, arguments.reason))
    facts = {
        "id": retried.task_id,
        "retryOf": retried.retry_of,
        "cost": retried.cost,
        "balance": retried.balance,
        "otherRetries": list(retried.others),
    }
    return Report(_retry_text(retried), facts)


def _retry_text(retried: Retried) -> str:
    text = f"task {retried.task_id} retries task {retried.retry_of}; you paid its cost of {retried.cost}"
    if not retried.others:
        return text
    return (
        f"{text}\nwarning: task {retried.retry_of} has been retried before, by {', '.join(retried.others)}; "
        f"if once was enough, `darkroom tasks cancel {retried.task_id}` ends this one, and its user gets the cost"
    )


async def _fail(actors: Actors, arguments: FailArguments) -> Report:
    with refusals(arguments.task):
        return _ended(await actors.tasks.ask(EndTask(arguments.task, arguments.reason)), "has failed")


async def _cancel(actors: Actors, arguments: TaskArguments) -> Report:
    with refusals(arguments.task):
        return _ended(await actors.tasks.ask(CancelForUser(arguments.task)), "is cancelled")


def _ended(task: Task, result: str) -> Report:
    facts = {"id": task.id, "status": task.status.value, "reason": task.error, "completedAt": iso(task.completed_at)}
    return Report(f"task {task.id} {result}, and its user got the cost back", facts)


TASK_COMMANDS = {
    "tasks list": OperatorCommand("List tasks of all users, or of one.", ListArguments, _list),
    "tasks show": OperatorCommand(
        "Show everything that is known of a task: its state, each transition with its time, holder and reason, and its "
        "ledger entries. Deleted tasks are shown, too.",
        TaskArguments,
        _show,
    ),
    "tasks retry": OperatorCommand(
        "Retry a failed task at your cost. A new task of the same user with the same input is created. The user's "
        "ledger gets an adjustment with your reason and the charge of the task, so the balance stays the same; if the "
        "new task fails, the user gets the refund. Each run of this command creates another task.",
        RetryArguments,
        _retry,
    ),
    "tasks fail": OperatorCommand(
        "Fail and refund an unfinished task. Whoever is carrying it out is stopped.", FailArguments, _fail
    ),
    "tasks cancel": OperatorCommand(
        "Cancel and refund a task as its user can. That is possible while it waits, and later only if its type can be "
        "stopped.",
        TaskArguments,
        _cancel,
    ),
}
