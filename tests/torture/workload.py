"""A member's errands: creations, a refund, a purchase and a payment, and what each answer says of the database."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.gateways.objects.local import LocalObjects
from storage.engine.connection import Connection
from tests.support.invariants import audit_violations
from tests.support.server import SECRETS, ApiResponse, LocalServer, User
from tests.torture.concurrent_clients import BUSY, place_picture, report


class Outcome(enum.Enum):
    """What an answer says; REFUSED also stands for a request that was never sent."""

    DONE = enum.auto()
    REFUSED = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class Start:
    """A data folder with a member, their two tasks and an order that is to be paid."""

    data: Path
    member: User
    picture: str
    tasks: tuple[str, str]
    order: str

    @classmethod
    async def prepare(cls, server: LocalServer) -> Start:
        member = await server.new_member()
        picture = place_picture(server.data, member)
        url = _address(server, picture)
        tasks = [(await server.create_task(member, url))["taskId"] for _ in range(2)]
        order = (await server.post("/api/membership/purchase", {"channel": "alipay"}, user=member)).data
        return cls(server.data, member, picture, (tasks[0], tasks[1]), order["orderId"])


@dataclass(slots=True)
class Errands:
    """See story.py."""

    start: Start
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by the name of the request
    facts: dict[str, Any] = field(default_factory=dict)  # the data of those that are done
    violations: list[str] = field(default_factory=list)
    lost: bool = False  # a commit's outcome is unknown

    @property
    def source(self) -> Path:
        return self.start.data

    @property
    def answers(self) -> int:
        return len(self.outcomes)

    async def play(self, server: LocalServer) -> None:
        failed, succeeded = self._reports(server)
        read = server.get
        await self._side_by_side(self._keyed(server, "a"), self._keyed(server, "b"), failed, self._purchase(server, 1))
        await self._side_by_side(self._keyed(server, "c"), self._plain(server, 1), succeeded, self._payment(server))
        for path in ("/api/quota", "/api/quota/ledger", "/api/task/list", f"/api/task/{self.start.tasks[0]}"):
            self._judge(f"read {path}", await read(path, user=self.start.member))
        await self._side_by_side(self._keyed(server, "d"), self._purchase(server, 2), self._plain(server, 2))

    async def again(self, server: LocalServer) -> None:
        for key in "abcd":
            before = self.facts.get(f"key {key}")
            for _ in range(2):
                await self._keyed(server, key)()
                self._require(f"key {key}", before)
                before = self.facts.get(f"key {key}")
        for name, send in zip(("failed", "success"), self._reports(server), strict=True):
            if self.outcomes.get(name) is not Outcome.DONE:
                await send()
        await self._payment(server)()
        self._require("payment")

    def broken(self, connection: Connection) -> list[str]:
        keys = dict(connection.execute("SELECT key, task_id FROM idempotency").fetchall())
        states = dict(connection.execute("SELECT id, status FROM tasks").fetchall())
        orders = dict(connection.execute("SELECT id, status FROM orders").fetchall())
        unnamed = len(states) - len(keys) - len(self.start.tasks)
        return [
            *audit_violations(connection),
            *(fault for key in "abcd" for fault in self._key_broken(key, keys.get(key), states)),
            *self._miscounted("creation", unnamed),
            *self._miscounted("purchase", len(orders) - 2, refused_too=True),  # the member's own, the one to be paid
            *self._state_broken("failed", states[self.start.tasks[0]], "pending"),
            *self._state_broken("success", states[self.start.tasks[1]], "pending"),
            *self._state_broken("payment", orders[self.start.order], "pending", "paid"),
        ]

    def _key_broken(self, key: str, found: str | None, states: dict[str, str]) -> list[str]:
        match self.outcomes.get(f"key {key}", Outcome.REFUSED):
            case Outcome.DONE if found != self.facts[f"key {key}"]["taskId"] or found not in states:
                return [f"key {key} was answered with {self.facts[f'key {key}']} and stands for {found}"]
            case Outcome.REFUSED if found is not None:
                return [f"key {key} was refused and stands for {found}"]
        return []

    def _miscounted(self, kind: str, found: int, *, refused_too: bool = False) -> list[str]:
        """A refused purchase may leave an order that nobody pays: it costs nothing, and its gateway closes it."""
        outcomes = [outcome for name, outcome in self.outcomes.items() if name.startswith(kind)]
        done, unknown = outcomes.count(Outcome.DONE), outcomes.count(Outcome.UNKNOWN)
        most = len(outcomes) if refused_too else done + unknown
        return [] if done <= found <= most else [f"{done} of {kind} done, {unknown} unknown, {found} found"]

    def _state_broken(self, name: str, found: str, before: str, after: str | None = None) -> list[str]:
        match self.outcomes.get(name, Outcome.REFUSED):
            case Outcome.DONE if found != (after or name):
                return [f"{name} was answered to be done and the state is {found}"]
            case Outcome.REFUSED if found != before:
                return [f"{name} was refused and the state is {found}"]
        return []

    async def _side_by_side(self, *sends: Callable[[], Awaitable[None]]) -> None:
        """Their transactions meet in one commit. After an unknown outcome nothing is written any more."""
        lost, done = self.lost, len(self.facts)
        await asyncio.gather(*(send() for send in sends))
        if lost and len(self.facts) > done:
            self.violations.append("a change was made after one whose outcome is unknown")

    def _keyed(self, server: LocalServer, key: str) -> Callable[[], Awaitable[None]]:
        return lambda: self._create(server, f"key {key}", {"Idempotency-Key": key})

    def _plain(self, server: LocalServer, number: int) -> Callable[[], Awaitable[None]]:
        return lambda: self._create(server, f"creation {number}", {})

    async def _create(self, server: LocalServer, name: str, headers: dict[str, str]) -> None:
        body = {"type": "basic_clean", "inputImageUrl": _address(server, self.start.picture)}
        self._judge(name, await server.post("/api/task/create", body, user=self.start.member, headers=headers))

    def _reports(self, server: LocalServer) -> Sequence[Callable[[], Awaitable[None]]]:
        async def send(task_id: str, state: str) -> None:
            before = self.outcomes.get(state, Outcome.REFUSED)
            answer = await report(server, server.clock, task_id, state)
            if answer.status == 409 and before is Outcome.UNKNOWN:
                self.outcomes[state] = Outcome.DONE  # it had happened
            else:
                self._judge(state, answer)

        failed, succeeded = self.start.tasks
        return [lambda: send(failed, "failed"), lambda: send(succeeded, "success")]

    def _purchase(self, server: LocalServer, number: int) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            answer = await server.post("/api/membership/purchase", {"channel": "wx"}, user=self.start.member)
            self._judge(f"purchase {number}", answer)

        return send

    def _payment(self, server: LocalServer) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            answer = await server.post("/sandbox/pay", {"orderId": self.start.order})
            self._judge("payment", answer)
            if answer.status != 200 or not answer.data["notified"]:  # the gateway has the money and will call again
                self.outcomes["payment"] = Outcome.UNKNOWN
                self.facts.pop("payment", None)

        return send

    def _judge(self, name: str, answer: ApiResponse) -> None:
        if answer.status == 200:
            self.outcomes[name], self.facts[name] = Outcome.DONE, answer.data
        elif answer.status == BUSY:
            told = answer.content["error"]["message"]
            unknown = "Idempotency-Key" in told
            self.outcomes[name] = Outcome.UNKNOWN if unknown else Outcome.REFUSED
            self.lost = self.lost or unknown
        else:
            self.outcomes[name] = Outcome.UNKNOWN
            self.violations.append(f"{name} was answered {answer.status} {answer.content}")

    def _require(self, name: str, before: object = None) -> None:
        if self.outcomes[name] is not Outcome.DONE or (before is not None and self.facts[name] != before):
            self.violations.append(
                f"{name} came to {self.outcomes[name].name} {self.facts.get(name)}, before: {before}"
            )


def _address(server: LocalServer, key: str) -> str:
    return LocalObjects(server.data / "pictures", server.base, SECRETS["media"], server.clock).sign_download(key)
