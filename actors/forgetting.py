"""Forgetting refusals that an idempotency key led to, once they are a day old; what took effect is kept for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from actors.kernel import Actor, Message
from actors.ports import Clock
from storage.database import Connection, Database

REFUSAL_KEPT = 24 * 3_600_000  # milliseconds
FORGET_SECONDS = 600  # how often old refusals are looked for
FORGET_BATCH = 1000

Forget = Callable[[Connection, int, int], int]


@dataclass(frozen=True, slots=True)
class ForgetRefusals(Message[None]):
    """Forget what requests with an idempotency key were refused more than a day ago."""


class Forgetting:
    """`ForgetRefusals` for an actor. `forget` deletes those from before a moment, up to a limit, and says how many."""

    def __init__(self, actor: Actor, db: Database, clock: Clock, forget: Forget) -> None:
        self._actor, self._db, self._clock, self._forget = actor, db, clock, forget
        self._under_way: asyncio.Future[None] | None = None
        actor.on(ForgetRefusals, self._start)
        actor.every(FORGET_SECONDS, ForgetRefusals())

    async def _start(self, _: ForgetRefusals) -> object:
        if self._under_way is None or self._under_way.done():
            self._under_way = self._actor.start_job(self._forget_all(self._clock.now() - REFUSAL_KEPT))
        return self._under_way

    async def _forget_all(self, before: int) -> None:
        """Batch by batch, so that nobody waits for long behind one."""
        forgotten = FORGET_BATCH
        while forgotten == FORGET_BATCH:
            forgotten = await self._db.write(lambda connection: self._forget(connection, before, FORGET_BATCH))
