"""The test harness: a whole server in the test's event loop, with real HTTP, real SQLite and the real sandbox."""

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

from actors.task.registry import TASK_TYPES
from actors.task.task_type import TaskTypes
from server.http.runner import ProductionRunner
from server.settings.model import Settings
from server.system import System

SECRETS = {name: f"a test's {name} secret, long enough" for name in ("token", "code", "media", "internal")}
HIGH_LIMITS = {"address_per_hour": 1_000_000, "prefix_per_hour": 1_000_000, "codes_per_day": 1_000_000}
UNREACHABLE_SMS = {"sender": "webhook", "webhook": {"url": "http://127.0.0.1:1/", "secret": "s" * 32}}
TIMEOUT_SECONDS = 60  # only so that a status which is never reached fails the test
_phone_numbers = itertools.count()


class ManualClock:
    """A Clock port whose time only the test changes. It starts at 2026-11-23 08:00 UTC."""

    def __init__(self, now: int = 1_795_420_800_000) -> None:
        self.time = now

    def now(self) -> int:
        return self.time

    def advance(self, *, seconds: float = 0, days: float = 0) -> None:
        self.time += round(seconds * 1000 + days * 86_400_000)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One response. `content` is the parsed JSON, or None if the body is not JSON."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    content: Any

    @property
    def data(self) -> Any:
        """Return the data of a success, after checking its envelope."""
        assert self.status == 200 and self.content["success"], self.content
        return self.content["data"]

    @property
    def refusal(self) -> tuple[int, int]:
        """Return the HTTP status and the error code, after checking the envelope of a failure."""
        assert self.content["success"] is False, self.content
        assert self.content["error"]["requestId"] == self.headers["X-Request-Id"]
        assert self.content["error"]["message"]
        return self.status, self.content["error"]["code"]


@dataclass(frozen=True, slots=True)
class ApiUser:
    id: str
    phone: str
    token: str


@dataclass(slots=True)
class Api:
    """A client of the API of a running server."""

    base: str
    http: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, body: object = None, *, user: ApiUser | None = None, **options: Any
    ) -> ApiResponse:
        """Send a request: `body` as JSON, or `raw` bytes as they are. `path` may be a full address."""
        headers = dict(options.get("headers", {}))
        if user is not None:
            headers["Authorization"] = f"Bearer {user.token}"
        content = options.get("raw", None if body is None else json.dumps(body).encode())
        url = path if path.startswith("http") else self.base + path
        async with self.http.request(method, url, data=content, headers=headers, allow_redirects=False) as response:
            raw = await response.read()
            parsed = json.loads(raw) if raw and response.content_type == "application/json" else None
            return ApiResponse(response.status, response.headers, raw, parsed)

    async def get(self, path: str, *, user: ApiUser | None = None, **options: Any) -> ApiResponse:
        return await self.call("GET", path, user=user, **options)

    async def post(self, path: str, body: object = None, *, user: ApiUser | None = None, **options: Any) -> ApiResponse:
        return await self.call("POST", path, body, user=user, **options)

    async def put(self, path: str, body: object = None, *, user: ApiUser | None = None, **options: Any) -> ApiResponse:
        return await self.call("PUT", path, body, user=user, **options)

    async def request_code(self, phone: str) -> str:
        """Request a login code and read it from the sandbox's inbox."""
        assert (await self.post("/api/auth/send-code", {"phone": phone})).data == {"expireIn": 300}
        messages = (await self.get(f"/sandbox/sms?phone={phone}")).data["messages"]
        return str(messages[0]["code"])

    async def new_user(self, phone: str | None = None) -> ApiUser:
        """Create a user, by default with an unused phone."""
        return await self.log_in(phone or f"138{next(_phone_numbers):08}")

    async def log_in(self, phone: str) -> ApiUser:
        """Log in with a new code; the first login of a phone creates its user."""
        login = (await self.post("/api/auth/login", {"phone": phone, "code": await self.request_code(phone)})).data
        return ApiUser(login["user"]["id"], phone, login["token"])

    async def new_member(self, channel: str = "wx") -> ApiUser:
        """Create a user with a new membership, paid through `channel`."""
        user = await self.new_user()
        order = (await self.post("/api/membership/purchase", {"channel": channel}, user=user)).data
        paid = (await self.post("/sandbox/pay", {"orderId": order["orderId"]})).data
        assert paid == {"orderId": order["orderId"], "state": "paid", "notified": True}
        return user

    async def upload(self, user: ApiUser, picture: bytes, name: str = "photo.png") -> str:
        """Upload a picture and return the address to create a task with."""
        target = (await self.get(f"/api/media/sts?fileName={name}", user=user)).data
        response = await self.call(target["method"], target["uploadUrl"], raw=picture, headers=target["headers"])
        assert response.status == 200, response.content
        return str(target["inputImageUrl"])

    async def delete(self, path: str, *, user: ApiUser | None = None, **options: Any) -> ApiResponse:
        return await self.call("DELETE", path, user=user, **options)

    async def create_task(self, user: ApiUser, image_url: str, **params: str) -> Any:
        body = {"type": "basic_clean", "inputImageUrl": image_url, "params": params}
        return (await self.post("/api/task/create", body, user=user)).data

    async def wait_until_finished(self, user: ApiUser, task_id: str) -> Any:
        """Return the task when it has reached a final status."""
        return await self.wait_for_status(user, task_id, "success", "failed")

    async def wait_for_status(self, user: ApiUser, task_id: str, *statuses: str) -> Any:
        """Return the task when it has one of these statuses. Polls, because the API has no events yet."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                task = (await self.get(f"/api/task/{task_id}", user=user)).data
                if task["status"] in statuses:
                    return task

    async def remaining(self, user: ApiUser) -> int:
        return int((await self.get("/api/quota", user=user)).data["remaining"])

    async def ledger(self, user: ApiUser) -> list[tuple[str, int, int]]:
        """Return (kind, amount, balance) of the user's entries, oldest first."""
        entries = (await self.get("/api/quota/ledger?limit=100", user=user)).data["entries"]
        return [(entry["kind"], entry["amount"], entry["balance"]) for entry in reversed(entries)]


@dataclass(slots=True)
class LocalServer(Api):
    """A server in this event loop, with access to its data folder, its clock and its parts."""

    data: Path
    clock: ManualClock
    system: System = field(repr=False)
    app: web.Application = field(repr=False)


def make_settings(data: Path, **sections: Any) -> Settings:
    """Make settings with test secrets and high limits. `sections` overrides them: `tasks={"workers": 0}`."""
    defaults = {"auth": HIGH_LIMITS, "tasks": {"workers": 1}}
    if sections.get("mode") == "production":
        sections = {"sms": UNREACHABLE_SMS, **sections}
    return Settings.model_validate({"data": data, "secrets": SECRETS, **defaults, **sections})


@asynccontextmanager
async def running_server(
    data: Path,
    clock: ManualClock | None = None,
    *,
    port: int = 0,
    task_types: TaskTypes = TASK_TYPES,
    **sections: Any,
) -> AsyncIterator[LocalServer]:
    """Run a server on `port` of the loopback interface, by default a free one, and stop it at the end."""
    clock = clock or ManualClock()
    with socket.create_server(("127.0.0.1", port)) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        system = await System.start(make_settings(data, **sections), base, clock, task_types)
        app = system.app()
        runner = ProductionRunner(app, shutdown_seconds=1)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
                yield LocalServer(base, http, data, clock, system, app)
        finally:
            await runner.cleanup()
            await system.stop()
