"""One member's workload: creations, a refund, purchases and a payment, and what each answer means for the database."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.engine.connection import Connection
from tests.support.invariants import audit_violations
from tests.support.server import ApiResponse, ApiUser, LocalServer
from tests.support.uploads import picture_url, store_picture_file
from tests.torture.concurrent_clients import UNAVAILABLE
from tests.torture.worker import report_status


class Outcome(enum.Enum):
    """What an answer says about its request. REFUSED also stands for a request that was never sent."""

    DONE = enum.auto()
    REFUSED = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class SeedData:
    """A data folder with a member, the member's two tasks and an unpaid order."""

    folder: Path
    member: ApiUser
    picture: str  # object key
    tasks: tuple[str, str]
    order: str

    @classmethod
    async def create(cls, server: LocalServer) -> SeedData:
        member = await server.new_member()
        picture = store_picture_file(server.data, member)
        url = picture_url(server, server.data, server.clock, picture)
        tasks = [(await server.create_task(member, url))["taskId"] for _ in range(2)]
        order = (await server.post("/api/membership/purchase", {"channel": "alipay"}, user=member)).data
        return cls(server.data, member, picture, (tasks[0], tasks[1]), order["orderId"])


@dataclass(slots=True)
class Workload:
    """The scenario of a member who uses every kind of write. See scenario.py."""

    seed: SeedData
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by the name of the request
    results: dict[str, Any] = field(default_factory=dict)  # the data of the answers that are DONE
    violations: list[str] = field(default_factory=list)
    commit_unknown: bool = False  # an answer said that the outcome of its commit is unknown

    @property
    def initial_data(self) -> Path:
        return self.seed.folder

    @property
    def answers(self) -> int:
        return len(self.outcomes)

    async def run(self, server: LocalServer) -> None:
        failed, success = self._status_reports(server)
        keyed, purchase = self._creation_with_key, self._purchase
        await self._send_concurrently(keyed(server, "a"), keyed(server, "b"), failed, purchase(server, 1))
        plain = self._creation_without_key
        await self._send_concurrently(keyed(server, "c"), plain(server, 1), success, self._payment(server))
        for path in ("/api/quota", "/api/quota/ledger", "/api/task/list", f"/api/task/{self.seed.tasks[0]}"):
            self._record(f"read {path}", await server.get(path, user=self.seed.member))
        await self._send_concurrently(keyed(server, "d"), purchase(server, 2), plain(server, 2))

    async def retry(self, server: LocalServer) -> None:
        for key in "abcd":
            before = self.results.get(f"key {key}")
            for _ in range(2):
                await self._creation_with_key(server, key)()
                self._require_done(f"key {key}", before)
                before = self.results.get(f"key {key}")
        for name, send in zip(("failed", "success"), self._status_reports(server), strict=True):
            if self.outcomes.get(name) is not Outcome.DONE:
                await send()
        await self._payment(server)()
        self._require_done("payment")

    def find_violations(self, connection: Connection) -> list[str]:
        keys = dict(connection.execute("SELECT key, task_id FROM idempotency").fetchall())
        tasks = dict(connection.execute("SELECT id, status FROM tasks").fetchall())
        orders = dict(connection.execute("SELECT id, status FROM orders").fetchall())
        without_key = len(tasks) - len(keys) - len(self.seed.tasks)
        return [
            *audit_violations(connection),
            *(violation for key in "abcd" for violation in self._check_key(key, keys.get(key), tasks)),
            *self._check_count("creation", without_key),
            *self._check_count("purchase", len(orders) - 2, refused_too=True),  # two orders are in the seed data
            *self._check_state("failed", tasks[self.seed.tasks[0]], "pending"),
            *self._check_state("success", tasks[self.seed.tasks[1]], "pending"),
            *self._check_state("payment", orders[self.seed.order], "pending", "paid"),
        ]

    def _check_key(self, key: str, task_id: str | None, tasks: dict[str, str]) -> list[str]:
        match self.outcomes.get(f"key {key}", Outcome.REFUSED):
            case Outcome.DONE if task_id != self.results[f"key {key}"]["taskId"] or task_id not in tasks:
                return [f"key {key} was answered with {self.results[f'key {key}']} and belongs to {task_id}"]
            case Outcome.REFUSED if task_id is not None:
                return [f"key {key} was refused and belongs to {task_id}"]
        return []

    def _check_count(self, kind: str, rows: int, *, refused_too: bool = False) -> list[str]:
        """A refused purchase may leave an unpaid order (`refused_too`): it costs nothing and its gateway closes it."""
        outcomes = [outcome for name, outcome in self.outcomes.items() if name.startswith(kind)]
        done, unknown = outcomes.count(Outcome.DONE), outcomes.count(Outcome.UNKNOWN)
        most = len(outcomes) if refused_too else done + unknown
        return [] if done <= rows <= most else [f"{kind}: {done} done, {unknown} unknown, {rows} rows"]

    def _check_state(self, name: str, state: str, before: str, after: str | None = None) -> list[str]:
        match self.outcomes.get(name, Outcome.REFUSED):
            case Outcome.DONE if state != (after or name):
                return [f"{name} was answered to be done and the state is {state}"]
            case Outcome.REFUSED if state != before:
                return [f"{name} was refused and the state is {state}"]
        return []

    async def _send_concurrently(self, *sends: Callable[[], Awaitable[None]]) -> None:
        """Send requests whose transactions meet in one commit. After an unknown outcome, no write may succeed."""
        unknown_before, done = self.commit_unknown, len(self.results)
        await asyncio.gather(*(send() for send in sends))
        if unknown_before and len(self.results) > done:
            self.violations.append("a change was made after one whose outcome is unknown")

    def _creation_with_key(self, server: LocalServer, key: str) -> Callable[[], Awaitable[None]]:
        return lambda: self._create(server, f"key {key}", {"Idempotency-Key": key})

    def _creation_without_key(self, server: LocalServer, number: int) -> Callable[[], Awaitable[None]]:
        return lambda: self._create(server, f"creation {number}", {})

    async def _create(self, server: LocalServer, name: str, headers: dict[str, str]) -> None:
        url = picture_url(server, server.data, server.clock, self.seed.picture)
        body = {"type": "basic_clean", "inputImageUrl": url}
        self._record(name, await server.post("/api/task/create", body, user=self.seed.member, headers=headers))

    def _status_reports(self, server: LocalServer) -> Sequence[Callable[[], Awaitable[None]]]:
        async def send(task_id: str, status: str) -> None:
            before = self.outcomes.get(status, Outcome.REFUSED)
            response = await report_status(server, server.clock, task_id, status)
            if response.status == 409 and before is Outcome.UNKNOWN:
                self.outcomes[status] = Outcome.DONE  # the earlier report has taken effect
            else:
                self._record(status, response)

        failed, success = self.seed.tasks
        return [lambda: send(failed, "failed"), lambda: send(success, "success")]

    def _purchase(self, server: LocalServer, number: int) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            response = await server.post("/api/membership/purchase", {"channel": "wx"}, user=self.seed.member)
            self._record(f"purchase {number}", response)

        return send

    def _payment(self, server: LocalServer) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            response = await server.post("/sandbox/pay", {"orderId": self.seed.order})
            self._record("payment", response)
            if response.status != 200 or not response.data["notified"]:  # the gateway will send its callback again
                self.outcomes["payment"] = Outcome.UNKNOWN
                self.results.pop("payment", None)

        return send

    def _record(self, name: str, response: ApiResponse) -> None:
        if response.status == 200:
            self.outcomes[name], self.results[name] = Outcome.DONE, response.data
        elif response.status == UNAVAILABLE:
            unknown = "Idempotency-Key" in response.content["error"]["message"]
            self.outcomes[name] = Outcome.UNKNOWN if unknown else Outcome.REFUSED
            self.commit_unknown = self.commit_unknown or unknown
        else:
            self.outcomes[name] = Outcome.UNKNOWN
            self.violations.append(f"{name} was answered {response.status} {response.content}")

    def _require_done(self, name: str, before: object = None) -> None:
        if self.outcomes[name] is not Outcome.DONE or (before is not None and self.results[name] != before):
            self.violations.append(
                f"{name} ended as {self.outcomes[name].name} {self.results.get(name)}, before: {before}"
            )
