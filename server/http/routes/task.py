"""Routes: creating and reading tasks, and the status reports of external workers."""

from __future__ import annotations

from functools import partial
from typing import Annotated, TypedDict

from pydantic import ConfigDict, Field

from actors.errors import BadParameter, UnknownTaskType
from actors.ports import ObjectStore, PictureTemplate
from actors.task.actor import BASIC_CLEAN, Tasks
from actors.task.media import Media
from actors.task.messages import CreateTask, GetTask, ListTasks, ReportStatus, Task, TaskFilter, TaskStatus
from server.http.body import MAX_OFFSET, Body, Line, Query, QueryInteger, ResultUrl, parse_body, read_bytes, validate
from server.http.idempotency import idempotency_key
from server.http.language import Text
from server.http.messages import task_failure_text
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route, Success
from server.http.times import iso
from server.http.worker_signature import WorkerSignature

MAX_CREATIONS_IN_FLIGHT = 1024  # the capacity of the quota actor

_PROGRESS = {TaskStatus.PENDING: 0, TaskStatus.PROCESSING: 50, TaskStatus.SUCCESS: 100, TaskStatus.FAILED: 100}


class BasicCleanParams(Body):
    model_config = ConfigDict(extra="forbid")
    template: Annotated[PictureTemplate, Field(strict=False)] = PictureTemplate.ALL


_DEFAULTS = BasicCleanParams()


class CreateBody(Body):
    type: Annotated[Line, Field(min_length=1, max_length=64)]
    inputImageUrl: Annotated[Line, Field(min_length=1, max_length=2048)]
    params: Annotated[dict[str, object], Field(default_factory=dict)]  # pydantic deep-copies a plain default


class ReportBody(Body):
    status: Annotated[TaskStatus, Field(strict=False)]
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
    params: dict[str, str]
    resultUrls: list[str]
    errorMessage: str | None
    progress: int
    createdAt: str
    updatedAt: str
    completedAt: str | None


class TaskRoutes:
    def __init__(self, tasks: Tasks, media: Media, store: ObjectStore, worker_signature: WorkerSignature) -> None:
        self._tasks, self._media, self._store, self._worker_signature = tasks, media, store, worker_signature

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
            Route(
                "GET", "/api/task/{taskId:(?!create$)[^/]+}", self._get, check_capacity=partial(check_capacity, GetTask)
            ),
            Route("PUT", "/api/task/{taskId}/status", self._report, Access.PUBLIC),
        ]

    async def _create(self, call: Call[CreateBody, NoQuery]) -> Success:
        body, user_id = call.body, call.caller.user_id
        if body.type != BASIC_CLEAN:
            raise UnknownTaskType(type=body.type, known=BASIC_CLEAN)
        params = validate(body.params, BasicCleanParams, "params") if body.params else _DEFAULTS
        source = await self._media.own_input_key(user_id, body.inputImageUrl)
        key = idempotency_key(call.request, body.type, source, {"template": params.template.value})
        created = await self._tasks.ask(CreateTask(user_id, body.type, source, params.template, key))
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
        await self._tasks.ask(ReportStatus(call.path("taskId"), body.status, results, body.errorMessage or "internal"))
        return Success(message=Text("任务状态已更新", "Task status updated"))

    def _task_wire(self, task: Task, english: bool) -> TaskWire:
        return {
            "id": task.id,
            "type": task.type,
            "status": task.status.value,
            "inputImageUrl": self._store.sign_download(task.input_key),
            "params": task.params,
            "resultUrls": [self._result_url(result) for result in task.results],
            "errorMessage": None if task.error is None else task_failure_text(task.error, english),
            "progress": _PROGRESS[task.status],
            "createdAt": iso(task.created_at),
            "updatedAt": iso(task.updated_at),
            "completedAt": iso(task.completed_at),
        }

    def _result_url(self, result: str) -> str:
        return result if result.startswith(("http://", "https://")) else self._store.sign_download(result)
