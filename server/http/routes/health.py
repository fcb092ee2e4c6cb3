"""Routes: whether the process is up, and whether it is ready for requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from actors.deadline import deadline
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route, Success

READY_SECONDS = 5

Check = Callable[[], Awaitable[object]]


class HealthRoutes:
    """Serves /health and /ready. Each of `checks`, by name, raises if its part of the server does not work."""

    def __init__(self, checks: dict[str, Check]) -> None:
        self._checks, self._version = checks, version("darkroom")

    def routes(self) -> list[AnyRoute]:
        return [
            Route("GET", "/health", self._health, Access.PUBLIC),
            Route("GET", "/ready", self._ready, Access.PUBLIC),
        ]

    async def _health(self, call: Call[NoBody, NoQuery]) -> Success:
        return Success({"status": "ok", "version": self._version})

    async def _ready(self, call: Call[NoBody, NoQuery]) -> Success:
        async with deadline("storage", READY_SECONDS):
            await asyncio.gather(*(check() for check in self._checks.values()))
        return Success({"status": "ready", "checks": dict.fromkeys(self._checks, "ok")})
