"""The API calls that read and move the clock. They exist in development mode only."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from server.http.body import Body
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route, Success
from server.http.times import iso
from server.sandbox.clock import SandboxClock
from server.sandbox.clock_advance import ClockAdvance


class AdvanceBody(Body):
    advanceSeconds: Annotated[int, Field(ge=0)]


class ClockRoutes:
    def __init__(self, clock: SandboxClock, advance: ClockAdvance) -> None:
        self._clock, self._advance = clock, advance

    def routes(self) -> list[AnyRoute]:
        return [
            Route("GET", "/sandbox/clock", self._show, Access.PUBLIC),
            Route("POST", "/sandbox/clock", self._move, Access.PUBLIC, AdvanceBody),
        ]

    async def _show(self, _: Call[NoBody, NoQuery]) -> Success:
        return self._time()

    async def _move(self, call: Call[AdvanceBody, NoQuery]) -> Success:
        await self._advance.advance(call.body.advanceSeconds)
        return self._time()

    def _time(self) -> Success:
        return Success({"now": iso(self._clock.now()), "offsetSeconds": self._clock.offset_seconds})
