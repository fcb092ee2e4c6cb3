"""Delete expired rows every ten minutes, in batches. Stored answers that name a task or an order are never deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from actors.durations import DAY
from actors.message import Message
from actors.ports import Clock
from actors.runtime import Actor
from storage.engine.connection import Connection
from storage.engine.database import Database

REFUSAL_RETENTION = DAY
PURGE_SECONDS = 600
PURGE_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Purge(Message[None]):
    """Delete the actor's expired rows."""


class PurgeJob:
    """Handles `Purge` for an actor in a job beside its mailbox; only one such job runs at a time."""

    def __init__(self, actor: Actor, purge: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._actor, self._purge = actor, purge
        self._running: asyncio.Future[None] | None = None
        actor.on(Purge, self._start)
        actor.every(PURGE_SECONDS, Purge())

    async def _start(self, _: Purge) -> object:
        if self._running is None or self._running.done():
            self._running = self._actor.start_job(self._purge())
        return self._running


async def purge_refusals(db: Database, clock: Clock, purge: Callable[[Connection, int, int], int]) -> None:
    """Delete the refusals that have been stored under an idempotency key for more than a day.

    `purge` deletes those from before a time, at most a given number of them, and returns how many it deleted.
    """
    before = clock.now() - REFUSAL_RETENTION
    await purge_in_batches(lambda limit: db.write(lambda connection: purge(connection, before, limit)))


async def purge_in_batches(purge: Callable[[int], Awaitable[int]]) -> None:
    """Call `purge` until it deletes less than a full batch, so that no other transaction waits long."""
    while await purge(PURGE_BATCH) == PURGE_BATCH:
        pass
