"""PurgeJob, now and again, what can have no effect any more. What took effect is kept for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from actors.durations import DAY
from actors.ports import Clock
from actors.runtime import Actor, Message
from storage.engine.connection import Connection
from storage.engine.database import Database

REFUSAL_RETENTION = DAY
PURGE_SECONDS = 600  # how often there is a look at what is old
PURGE_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Purge(Message[None]):
    """Purge what can have no effect any more."""


class PurgeJob:
    """`Purge` for an actor: a job beside its mailbox, and never two of them."""

    def __init__(self, actor: Actor, forget: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._actor, self._forget = actor, forget
        self._under_way: asyncio.Future[None] | None = None
        actor.on(Purge, self._start)
        actor.every(PURGE_SECONDS, Purge())

    async def _start(self, _: Purge) -> object:
        if self._under_way is None or self._under_way.done():
            self._under_way = self._actor.start_job(self._forget())
        return self._under_way


async def purge_refusals(db: Database, clock: Clock, forget: Callable[[Connection, int, int], int]) -> None:
    """Those an idempotency key led to more than a day ago.

    `forget` deletes those from before a moment, up to a limit, and says how many.
    """
    before = clock.now() - REFUSAL_RETENTION
    await in_batches(lambda limit: db.write(lambda connection: forget(connection, before, limit)))


async def in_batches(forget: Callable[[int], Awaitable[int]]) -> None:
    """Let `forget` forget so many, until there are fewer: nobody waits for long behind one batch."""
    while await forget(PURGE_BATCH) == PURGE_BATCH:
        pass
