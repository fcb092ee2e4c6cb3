"""A client to whose tasks everything happens that can happen. It can begin again after each kill of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.clock import SystemClock
from tests.support.operator import execute_on
from tests.support.server import Api, ApiUser
from tests.support.uploads import picture_url, store_picture_file
from tests.torture.worker import report_status

HOUR, DAY = 3_600, 86_400
MAX_ADVANCES = 12  # of an hour each; a task needs three attempts, and one more for each kill

TASKS: Mapping[str, tuple[bool, str]] = {
    "plain": (False, "success"),
    "refused": (True, "failed"),
    "deleted": (False, "success"),
    "cancelled": (False, "failed"),
    "outside": (False, "success"),
}
"""Whether each task is refused by its work, and the state in which it ends."""


@dataclass(slots=True)
class TaskScenario:
    """Every act can be repeated, because the server may have been killed before its answer.

    Each raises ClientError or OperatorFailed when the server is gone.
    """

    api: Api
    data: Path
    user: ApiUser | None = None
    tasks: dict[str, str] = field(default_factory=dict)  # task ids by name
    inputs: dict[str, str] = field(default_factory=dict)  # object keys by name
    outside: int | None = None  # the fencing token of the external worker
    retried: bool = False

    async def run(self) -> list[str]:
        """Do everything and return what is wrong at the end."""
        self.user = self.user or await self.api.new_member()
        self.user = await self.api.log_in(self.user.phone)
        for name in TASKS:
            await self._create(self.user, name)
        await self._cancel(self.user, self.tasks["cancelled"])
        await self._take_over(self.tasks["outside"])
        finished = await self._let_time_pass(self.user)
        if finished["refused"] == "failed":
            await self._retry(self.tasks["refused"])
        await self._delete(self.user, self.tasks["deleted"])
        wrong = await self._check(self.user, finished)
        await self._advance(31 * DAY)
        return wrong + self._check_files()

    async def _create(self, user: ApiUser, name: str) -> None:
        if name not in self.inputs:
            self.inputs[name] = store_picture_file(self.data, user)
        url = picture_url(self.api, self.data, SystemClock(), self.inputs[name])
        body = {"type": "toy", "inputImageUrl": url, "params": {"refused": TASKS[name][0]}}
        created = await self.api.post("/api/task/create", body, user=user, headers={"Idempotency-Key": name})
        self.tasks[name] = created.data["taskId"]

    async def _cancel(self, user: ApiUser, task_id: str) -> None:
        """Cancel a task at a moment at which no attempt is running."""
        while (await self._status(user, task_id)) not in ("success", "failed"):
            await self.api.post(f"/api/task/{task_id}/cancel", user=user)

    async def _take_over(self, task_id: str) -> None:
        if self.outside is None:
            taken = await report_status(self.api, SystemClock(), task_id, "processing")
            self.outside = taken.content["data"]["attempt"] if taken.status == 200 else None
        await report_status(self.api, SystemClock(), task_id, "success", self.outside)

    async def _let_time_pass(self, user: ApiUser) -> dict[str, str]:
        """Return the states of the tasks once all have ended, or after enough time for that."""
        states: dict[str, str] = {}
        for _ in range(MAX_ADVANCES):
            await self._advance(HOUR)
            states = {name: await self._status(user, task_id) for name, task_id in self.tasks.items()}
            if all(state in ("success", "failed", "deleted") for state in states.values()):
                break
        return states

    async def _retry(self, task_id: str) -> None:
        """Let the operator retry a task, at least once, and give the new task the time to fail again."""
        if not self.retried:
            await execute_on(self.data, "tasks retry", task=task_id, reason="a test")
            self.retried = True
        for _ in range(MAX_ADVANCES):
            await self._advance(HOUR)

    async def _delete(self, user: ApiUser, task_id: str) -> None:
        await self.api.delete(f"/api/task/{task_id}", user=user)

    async def _check(self, user: ApiUser, states: Mapping[str, str]) -> list[str]:
        wrong = [
            f"task {name} is {state}" for name, state in states.items() if state not in (TASKS[name][1], "deleted")
        ]
        if await self._status(user, self.tasks["deleted"]) != "deleted":
            wrong.append("the deleted task is still shown")
        entries: list[Any] = (await self.api.get("/api/quota/ledger?limit=100", user=user)).data["entries"]
        listed: list[Any] = (await self.api.get("/api/task/list?limit=100", user=user)).data["tasks"]
        ended = {task["id"]: task["status"] for task in listed} | {self.tasks["deleted"]: "success"}
        for task_id, status in ended.items():
            expected = {"success": ["charge"], "failed": ["charge", "refund"]}.get(status)
            kinds = sorted(entry["kind"] for entry in entries if entry["reference"] == task_id)
            if kinds not in (expected, ["adjust", *(expected or [])]):
                wrong.append(f"task {task_id} is {status} and has the entries {kinds}")
        return wrong

    def _check_files(self) -> list[str]:
        files = [path for kind in ("input", "output") for path in (self.data / "pictures" / kind).rglob("*.*")]
        return [f"{path} should have been deleted" for path in files]

    async def _status(self, user: ApiUser, task_id: str) -> str:
        response = await self.api.get(f"/api/task/{task_id}", user=user)
        return "deleted" if response.status == 404 else str(response.data["status"])

    async def _advance(self, seconds: int) -> None:
        assert (await self.api.post("/sandbox/clock", {"advanceSeconds": seconds})).status == 200
