"""Moving the sandbox's clock: all work that becomes due on the way is done at its time."""

from __future__ import annotations

import asyncio
from typing import Protocol

from actors.errors import Overloaded
from server.sandbox.clock import SandboxClock

MAX_STEP_SECONDS = 86_400


class DueWork(Protocol):
    """The periodic work of the server."""

    async def next_at(self, after: int) -> int | None:
        """Return the earliest time later than `after` at which there is work, None if there is none."""

    async def run(self) -> None:
        """Do all work that is due now, and wait for its end."""


class ClockAdvance:
    """Moves `clock` step by step, and does after each step the work that is due then."""

    def __init__(self, clock: SandboxClock, work: DueWork) -> None:
        self._clock, self._work = clock, work
        self._lock = asyncio.Lock()
        self._stopping = False

    async def advance(self, seconds: int) -> None:
        """Move the clock and do all work that becomes due; calls are carried out one after the other.

        A step ends at the next second at which a row needs work, and after a day at the latest. Raises BadParameter,
        and Overloaded when the server is stopping; then the clock stays where it has got to.
        """
        async with self._lock:
            self._clock.check_advance(seconds)
            remaining = seconds
            await self._run_work()
            while remaining > 0:
                step = min(remaining, MAX_STEP_SECONDS, await self._seconds_to_next())
                await self._clock.advance(step)
                remaining -= step
                await self._run_work()

    def stop(self) -> None:
        """End a running advance after the work that it is doing, so that it does not delay the end of the server."""
        self._stopping = True

    async def _run_work(self) -> None:
        if self._stopping:
            raise Overloaded(retry_after=1)
        await self._work.run()

    async def _seconds_to_next(self) -> int:
        now = self._clock.now()
        next_at = await self._work.next_at(after=now)
        return MAX_STEP_SECONDS if next_at is None else -(-(next_at - now) // 1000)
