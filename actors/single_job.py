"""A job of an actor of which only one runs at a time, for work that takes longer than a turn should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from actors.message import Message
from actors.runtime import Actor


class SingleJob:
    """Handles a message by running `run` beside the mailbox. Messages that arrive meanwhile wait for the same run."""

    def __init__(
        self, actor: Actor, message: Message[None], seconds: float, run: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._actor, self._run = actor, run
        self._running: asyncio.Future[None] | None = None
        actor.on(type(message), self._start)
        actor.every(seconds, message)

    async def _start(self, _: Message[None]) -> object:
        if self._running is None or self._running.done():
            self._running = self._actor.start_job(self._run())
        return self._running
