"""A whole Darkroom inside the test's own event loop: real HTTP on loopback, real SQLite, the sandbox's real wire."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from server.http.runner import EnvelopeRunner
from server.settings.model import Settings
from server.system import System

SECRETS = {name: f"a test's {name} secret, long enough" for name in ("token", "code", "media", "internal")}
HIGH_LIMITS = {"address_per_hour": 1_000_000, "prefix_per_hour": 1_000_000, "codes_per_day": 1_000_000}
UNREACHABLE_SMS = {"sender": "webhook", "webhook": {"url": "http://127.0.0.1:1/", "secret": "s" * 32}}
TIMEOUT_SECONDS = 60  # only so that a server that never gets there fails the test
_numbers = itertools.count()


class ManualClock:
    """The time a test says it is, as the Clock port. Starts at a fixed moment."""

    def __init__(self, now: int = 1_795_420_800_000) -> None:
        self.time = now

    def now(self) -> int:
        return self.time

    def advance(self, *, seconds: float = 0, days: float = 0) -> None:
        self.time += round(seconds * 1000 + days * 86_400_000)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One response; `content` is the parsed JSON, or None where there was none."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    content: Any

    @property
    def data(self) -> Any:
        assert self.status == 200 and self.content["success"], self.content
        return self.content["data"]

    @property
    def refusal(self) -> tuple[int, int]:
        """The HTTP status and the code of a failure in the envelope."""
        assert self.content["success"] is False, self.content
        assert self.content["error"]["requestId"] == self.headers["X-Request-Id"]
        assert self.content["error"]["message"]
        return self.status, self.content["error"]["code"]


@dataclass(frozen=True, slots=True)
class User:
    id: str
    phone: str
    token: str


@dataclass(slots=True)
class Api:
    """A person's ways to use a server that is running somewhere."""

    base: str
    http: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, body: object = None, *, user: User | None = None, **more: Any
    ) -> ApiResponse:
        """`body` is sent as JSON; `raw` as the bytes it is; `path` may be a whole address."""
        headers = dict(more.get("headers", {}))
        if user is not None:
            headers["Authorization"] = f"Bearer {user.token}"
        content = more.get("raw", None if body is None else json.dumps(body).encode())
        url = path if path.startswith("http") else self.base + path
        async with self.http.request(method, url, data=content, headers=headers, allow_redirects=False) as response:
            raw = await response.read()
            parsed = json.loads(raw) if raw and response.content_type == "application/json" else None
            return ApiResponse(response.status, response.headers, raw, parsed)

    async def get(self, path: str, *, user: User | None = None, **more: Any) -> ApiResponse:
        return await self.call("GET", path, user=user, **more)

    async def post(self, path: str, body: object = None, *, user: User | None = None, **more: Any) -> ApiResponse:
        return await self.call("POST", path, body, user=user, **more)

    async def put(self, path: str, body: object = None, *, user: User | None = None, **more: Any) -> ApiResponse:
        return await self.call("PUT", path, body, user=user, **more)

    async def request_code(self, phone: str) -> str:
        """Ask for a login code and read it in the sandbox's inbox."""
        assert (await self.post("/api/auth/send-code", {"phone": phone})).data == {"expireIn": 300}
        messages = (await self.get(f"/sandbox/sms?phone={phone}")).data["messages"]
        return str(messages[0]["code"])

    async def new_user(self, phone: str | None = None) -> User:
        """Somebody user has just logged in."""
        phone = phone or f"138{next(_numbers):08}"
        login = (await self.post("/api/auth/login", {"phone": phone, "code": await self.request_code(phone)})).data
        return User(login["user"]["id"], phone, login["token"])

    async def new_member(self, channel: str = "wx") -> User:
        """Somebody user has just paid for a membership."""
        person = await self.new_user()
        order = (await self.post("/api/membership/purchase", {"channel": channel}, user=person)).data
        paid = (await self.post("/sandbox/pay", {"orderId": order["orderId"]})).data
        assert paid == {"orderId": order["orderId"], "state": "paid", "notified": True}
        return person

    async def upload(self, user: User, picture: bytes, name: str = "photo.png") -> str:
        """Put a picture where the server says; the address to create a task with."""
        place = (await self.get(f"/api/media/sts?fileName={name}", user=user)).data
        stored = await self.call(place["method"], place["uploadUrl"], raw=picture, headers=place["headers"])
        assert stored.status == 200, stored.content
        return str(place["inputImageUrl"])

    async def create_task(self, user: User, image_url: str, **params: str) -> Any:
        body = {"type": "basic_clean", "inputImageUrl": image_url, "params": params}
        return (await self.post("/api/task/create", body, user=user)).data

    async def wait_until_finished(self, user: User, task_id: str) -> Any:
        """The task when it has reached a final state."""
        return await self.wait_for_status(user, task_id, "success", "failed")

    async def wait_for_status(self, user: User, task_id: str, *states: str) -> Any:
        """The task when it is in one of these states; asked again and again, since nothing tells of it yet."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                task = (await self.get(f"/api/task/{task_id}", user=user)).data
                if task["status"] in states:
                    return task

    async def remaining(self, user: User) -> int:
        return int((await self.get("/api/quota", user=user)).data["remaining"])

    async def ledger(self, user: User) -> list[tuple[str, int, int]]:
        """(kind, amount, balance) of a person's entries, oldest first."""
        entries = (await self.get("/api/quota/ledger?limit=100", user=user)).data["entries"]
        return [(entry["kind"], entry["amount"], entry["balance"]) for entry in reversed(entries)]


@dataclass(slots=True)
class LocalServer(Api):
    """A server in this very event loop, and what only its operator has."""

    data: Path
    clock: ManualClock
    system: System = field(repr=False)
    app: web.Application = field(repr=False)


def make_settings(data: Path, **sections: Any) -> Settings:
    """Settings as a test wants them: `tasks={"workers": 0}`."""
    generous = {"auth": HIGH_LIMITS, "tasks": {"workers": 1}}
    if sections.get("mode") == "production":
        sections = {"sms": UNREACHABLE_SMS, **sections}
    return Settings.model_validate({"data": data, "secrets": SECRETS, **generous, **sections})


@asynccontextmanager
async def running_server(
    data: Path, clock: ManualClock | None = None, *, port: int = 0, **sections: Any
) -> AsyncIterator[LocalServer]:
    """A server on a free port of loopback, or on the one it had before; stopped in order at the end."""
    clock = clock or ManualClock()
    with socket.create_server(("127.0.0.1", port)) as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        system = await System.start(make_settings(data, **sections), base, clock)
        app = system.app()
        runner = EnvelopeRunner(app, shutdown_seconds=1)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
                yield LocalServer(base, http, data, clock, system, app)
        finally:
            await runner.cleanup()
            await system.stop()
