"""A job of an actor of which only one runs at a time, for work that takes longer than a turn should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from actors.message import Message
from actors.runtime import Actor


class SingleJob:
    """Handles a message by running `run` beside the mailbox.

    A message that arrives during a run may name work that this run does not see. So `run` is called once more after it,
    and all messages are answered after that.
    """

    def __init__(
        self, actor: Actor, message: Message[None], seconds: float, run: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._actor, self._run = actor, run
        self._requested = False
        self._running: asyncio.Future[None] | None = None
        actor.on(type(message), self._start)
        actor.every(seconds, message)

    async def _start(self, _: Message[None]) -> object:
        self._requested = True
        if self._running is None or self._running.done():
            self._running = self._actor.start_job(self._run_as_requested())
        return self._running

    async def _run_as_requested(self) -> None:
        while self._requested:
            self._requested = False
            await self._run()
