"""Delete expired rows every ten minutes, in batches. Stored answers that name a task or an order are never deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from actors.durations import DAY
from actors.message import Message
from actors.ports import Clock
from actors.runtime import Actor
from actors.single_job import SingleJob
from storage.engine.connection import Connection
from storage.engine.database import Database

REFUSAL_RETENTION = DAY
PURGE_SECONDS = 600
PURGE_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Purge(Message[None]):
    """Delete the actor's expired rows."""


def purge_periodically(actor: Actor, purge: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Let an actor handle `Purge` by running `purge` in a job."""
    SingleJob(actor, Purge(), PURGE_SECONDS, purge)


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
