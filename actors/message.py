"""A message to an actor, and the envelope in which it waits for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from actors.errors import Overloaded

R = TypeVar("R")

log = structlog.stdlib.get_logger("darkroom.actor")


class Message(Generic[R]):
    """The base class of all messages; `R` is the type of the reply."""

    __slots__ = ()


BatchHandler = Callable[[Sequence[Any]], Awaitable[Sequence[object]]]
"""Handles messages together, and returns a reply or an exception for each."""


@dataclass(slots=True)  # not frozen, because that makes creating one slower
class Envelope:
    """A message in a mailbox, with the future for its reply (None if it was sent with `tell`)."""

    message: Message[Any]
    reply: asyncio.Future[Any] | None
    handler: BatchHandler
    enqueued_at: float

    def resolve(self, outcome: object) -> None:
        """Send the outcome to the sender, unless the sender is gone. A future as outcome is awaited first."""
        if isinstance(outcome, asyncio.CancelledError):  # the handler awaited a future that was cancelled
            outcome = Overloaded(retry_after=1)
        if isinstance(outcome, asyncio.Future):
            outcome.add_done_callback(self._resolve_from)
        elif self.reply is None:
            if isinstance(outcome, Exception):
                log.error("a message failed", message=type(self.message).__name__, exc_info=outcome)
        elif not self.reply.done():
            if isinstance(outcome, Exception):
                self.reply.set_exception(outcome)
            else:
                self.reply.set_result(outcome)

    def _resolve_from(self, future: asyncio.Future[Any]) -> None:
        self.resolve(Overloaded(retry_after=1) if future.cancelled() else future.exception() or future.result())
