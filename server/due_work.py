"""The periodic work of all actors, done when the clock of the port has been moved and not when their timers ring."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from actors.ports import Clock
from actors.runtime import Actor
from actors.schedule import GetNextDue

log = structlog.stdlib.get_logger("darkroom")

MAX_ROUNDS_WITHOUT_PROGRESS = 2


class DueWork:
    """The periodic work of `actors`, which is done in their order."""

    def __init__(self, actors: Sequence[Actor], clock: Clock) -> None:
        self._actors, self._clock = actors, clock
        self._stuck_since: int | None = None  # when the work became due that the last call could not do

    async def next_at(self, after: int) -> int | None:
        """Return the earliest time later than `after` at which a row needs work, in epoch milliseconds.

        Raises Overloaded when the server is stopping.
        """
        replies = [await actor.ask(GetNextDue(after)) for actor in self._actors]
        return min((at for at in replies if at is not None), default=None)

    async def run(self) -> None:
        """Do all work that is due now, and wait for its end. Raises Overloaded when the server is stopping.

        One round may make more work due. Work that stays due is left to the next call: after two rounds, or after one
        if the last call could not do it either. So an order whose gateway cannot be reached does not hold up the call.
        """
        former, unchanged = None, 0
        while unchanged < MAX_ROUNDS_WITHOUT_PROGRESS:
            for actor in self._actors:
                await actor.run_periodic()
            due = await self.next_at(after=0)
            if due is None or due > self._clock.now():
                self._stuck_since = None
                return
            if due == self._stuck_since:
                return
            unchanged = unchanged + 1 if due == former else 1
            former = due
        log.warning("some work that is due could not be done", due=former)
        self._stuck_since = former
