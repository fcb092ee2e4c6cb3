"""Routes: task types, tasks of the caller, and the status reports of external workers."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, TypedDict

from pydantic import Field

from actors.errors import BadParameter
from actors.ports import Clock, ObjectStore
from actors.task.actor import Tasks
from actors.task.messages import (
    CancelTask,
    CreateTask,
    DeleteTask,
    GetTask,
    GetTypes,
    ListTasks,
    ReportStatus,
    Task,
    TaskFilter,
    TaskStatus,
    TaskTerms,
)
from actors.task.task_type import TaskTypes
from server.http.body import MAX_OFFSET, Body, Line, Query, QueryInteger, ResultUrl, parse_body, read_bytes
from server.http.idempotency import idempotency_key
from server.http.language import Text
from server.http.messages import PICTURES_EXPIRED, task_failure_text
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route, Success
from server.http.times import iso
from server.http.worker_signature import WorkerSignature

MAX_CREATIONS_IN_FLIGHT = 1024  # the capacity of the quota actor

_FINAL = (TaskStatus.SUCCESS, TaskStatus.FAILED)


class CreateBody(Body):
    type: Annotated[Line, Field(min_length=1, max_length=64)]
    inputImageUrl: Annotated[Line, Field(min_length=1, max_length=2048)]
    params: Annotated[dict[str, object], Field(default_factory=dict)]  # pydantic deep-copies a plain default


class ReportBody(Body):
    status: Annotated[TaskStatus, Field(strict=False)]
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    attempt: Annotated[int, Field(ge=1, le=2**53)] | None = None
    resultUrls: Annotated[list[Annotated[ResultUrl, Field(max_length=2048)]], Field(max_length=24)] = []
    errorMessage: Annotated[Line, Field(max_length=500)] = ""


class ListQuery(Query):
    limit: Annotated[QueryInteger, Field(ge=1, le=100)] = 10
    offset: Annotated[QueryInteger, Field(ge=0, le=MAX_OFFSET)] = 0
    cursor: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    status: TaskStatus | None = None
    type: Annotated[str, Field(max_length=64)] | None = None


class TaskWire(TypedDict):
    id: str
    type: str
    status: str
    inputImageUrl: str
    params: dict[str, Any]
    resultUrls: list[str]
    picturesUntil: str | None
    picturesMessage: str | None
    errorMessage: str | None
    progress: int
    createdAt: str
    updatedAt: str
    completedAt: str | None


class TaskRoutes:
    def __init__(
        self, tasks: Tasks, types: TaskTypes, store: ObjectStore, clock: Clock, worker_signature: WorkerSignature
    ) -> None:
        self._tasks, self._types, self._store, self._clock = tasks, types, store, clock
        self._worker_signature = worker_signature

    def routes(self) -> list[AnyRoute]:
        check_capacity = self._tasks.check_capacity
        return [
            Route(
                "POST",
                "/api/task/create",
                self._create,
                body=CreateBody,
                check_capacity=partial(check_capacity, CreateTask),
                max_in_flight=MAX_CREATIONS_IN_FLIGHT,
            ),
            Route(
                "GET", "/api/task/list", self._list, query=ListQuery, check_capacity=partial(check_capacity, ListTasks)
            ),
            Route("GET", "/api/task/types", self._list_types, Access.PUBLIC),
            Route(
                "GET", "/api/task/{taskId:(?!create$)[^/]+}", self._get, check_capacity=partial(check_capacity, GetTask)
            ),
            Route("DELETE", "/api/task/{taskId:(?!(?:create|list|types)$)[^/]+}", self._delete),
            Route("POST", "/api/task/{taskId}/cancel", self._cancel),
            Route("PUT", "/api/task/{taskId}/status", self._report, Access.PUBLIC),
        ]

    async def _list_types(self, call: Call[NoBody, NoQuery]) -> Success:
        return Success([_terms_wire(terms) for terms in await self._tasks.ask(GetTypes())])

    async def _create(self, call: Call[CreateBody, NoQuery]) -> Success:
        body, user_id = call.body, call.caller.user_id
        key = idempotency_key(call.request)
        created = await self._tasks.ask(CreateTask(user_id, body.type, body.inputImageUrl, body.params, key))
        return Success(
            {
                "taskId": created.task_id,
                "type": body.type,
                "status": TaskStatus.PENDING.value,
                "createdAt": iso(created.created_at),
                "quota_remaining": created.balance,
            }
        )

    async def _get(self, call: Call[NoBody, NoQuery]) -> Success:
        task = await self._tasks.ask(GetTask(call.caller.user_id, call.path("taskId")))
        return Success(self._task_wire(task, call.english))

    async def _cancel(self, call: Call[NoBody, NoQuery]) -> Success:
        task = await self._tasks.ask(CancelTask(call.caller.user_id, call.path("taskId")))
        return Success(self._task_wire(task, call.english))

    async def _delete(self, call: Call[NoBody, NoQuery]) -> Success:
        await self._tasks.ask(DeleteTask(call.caller.user_id, call.path("taskId")))
        return Success(message=Text("任务已删除", "Task deleted"))

    async def _list(self, call: Call[NoBody, ListQuery]) -> Success:
        query = call.query
        task_filter = TaskFilter(call.caller.user_id, query.status, query.type, query.cursor)
        page = await self._tasks.ask(ListTasks(task_filter, query.limit, query.offset))
        return Success(
            {
                "tasks": [self._task_wire(task, call.english) for task in page.tasks],
                "total": page.total,
                "limit": query.limit,
                "offset": query.offset,
                "nextCursor": page.next,
            }
        )

    async def _report(self, call: Call[NoBody, NoQuery]) -> Success:
        """Take the report of an external worker. Its signature is checked before its body is parsed."""
        raw = await read_bytes(call.request)
        self._worker_signature.check(call.request, raw)
        body = parse_body(raw, ReportBody)
        if body.status is TaskStatus.PENDING:
            raise BadParameter(field="status", problem="report_status")
        if body.status is TaskStatus.SUCCESS and not body.resultUrls:
            raise BadParameter(field="resultUrls", problem="report_results")
        results = [self._store.key_from_url(url) or url for url in body.resultUrls]
        reason = body.errorMessage or "internal"
        report = ReportStatus(call.path("taskId"), body.status, results, reason, body.progress, body.attempt)
        attempt = await self._tasks.ask(report)
        return Success({"attempt": attempt}, Text("任务状态已更新", "Task status updated"))

    def _task_wire(self, task: Task, english: bool) -> TaskWire:
        expired = task.pictures_until is not None and task.pictures_until <= self._clock.now()
        return {
            "id": task.id,
            "type": task.type,
            "status": task.status.value,
            "inputImageUrl": self._store.sign_download(task.input_key),
            "params": task.params,
            "resultUrls": [] if expired else [self._result_url(result) for result in task.results],
            "picturesUntil": iso(task.pictures_until),
            "picturesMessage": PICTURES_EXPIRED.render(english) if expired else None,
            "errorMessage": None if task.error is None else self._failure_text(task.type, task.error, english),
            "progress": 100 if task.status in _FINAL else task.progress,
            "createdAt": iso(task.created_at),
            "updatedAt": iso(task.updated_at),
            "completedAt": iso(task.completed_at),
        }

    def _failure_text(self, type: str, reason: str, english: bool) -> str:
        return task_failure_text(reason, self._types[type].failures if type in self._types else {}, english)

    def _result_url(self, result: str) -> str:
        return result if result.startswith(("http://", "https://")) else self._store.sign_download(result)


def _terms_wire(terms: TaskTerms) -> dict[str, object]:
    task_type, limits = terms.type, terms.limits
    return {
        "name": task_type.name,
        "params": task_type.params.model_json_schema(),
        "cost": terms.cost,
        "limits": {
            "perMinute": limits.per_minute or None,
            "waitingHours": limits.waiting_hours,
            "totalHours": limits.total_hours,
            "attemptSeconds": limits.seconds,
            "attempts": limits.attempts,
        },
        "stages": list(task_type.stages),
        "canBeStopped": task_type.can_be_stopped,
    }
