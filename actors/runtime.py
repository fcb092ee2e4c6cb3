"""The actor runtime: a bounded mailbox, and the one task that drains it.

A message is a frozen dataclass that names its reply: `class Charge(Message[Balance])`. `await quota.ask(Charge(…))`
is typed by that. An actor registers what it handles, either one message at a time or all of a turn at once:

    self.on(GetPlans, self._plans)                 # async (GetPlans) -> Plans
    self.on_batch((Charge, Refund), self._settle)  # async ([Charge | Refund]) -> [reply or exception, …]
    self.forward(CreateTask, self._create, quota, Charge)  # async (CreateTask) -> Created, by way of a Charge

Each kind of message has room of its own: a flood of one keeps no other out.

A turn takes every message that waits, up to `turn`. Handlers of one turn run side by side, so their transactions
meet in one commit; the next turn starts when all of them are done. What an actor merely translates for another it
forwards, without a turn of its own. A handler may wait for storage and for actors below it, never for the outside
world: for that it starts a job and returns the job's future as its reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from prometheus_client import Counter, Gauge, Histogram

from actors.errors import Overloaded

R = TypeVar("R")
M = TypeVar("M", bound="Message[Any]")

log = structlog.stdlib.get_logger("darkroom.actor")

ROUNDS = 3
"""Turns of the event loop that mail waits for more of it, unless there is enough for a turn.

It takes three from the arrival of a request's bytes to its message. Without them 64 clients, whom one commit answers
together, come back as one and sixty-three, in two commits; with them a wave shares one, and creations gain 9 %.
"""

_DEPTH = Gauge("darkroom_mailbox_messages", "Messages that wait in an actor's mailbox", ["actor"])
_WAIT = Histogram("darkroom_mailbox_wait_seconds", "How long the first message of a turn had waited", ["actor"])
_REFUSED = Counter("darkroom_mailbox_refusals", "Messages refused because a mailbox was full or closing", ["actor"])


class Message(Generic[R]):
    """Base of all messages; `R` is what the asker gets."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Ping(Message[None]):
    """Answered by every actor: its loop turns."""


Batch = Callable[[Sequence[Any]], Awaitable[Sequence[object]]]


@dataclass(frozen=True, slots=True)
class _Forward:
    translate: Callable[[Any], Awaitable[Any]]
    check_capacity: Callable[[], None]


@dataclass(slots=True)  # not frozen: that would double the price of making one
class Envelope:
    message: Message[Any]
    reply: asyncio.Future[Any] | None
    handler: Batch
    posted: float

    def settle(self, outcome: object) -> None:
        """Answer the asker, who may be gone. A future as outcome is answered when that is done."""
        if isinstance(outcome, asyncio.CancelledError):  # something the handler waited for was; nobody cancels handlers
            outcome = Overloaded(retry_after=1)
        if isinstance(outcome, asyncio.Future):
            outcome.add_done_callback(self._settle_from)
        elif self.reply is None:
            if isinstance(outcome, Exception):
                log.error("a message failed", message=type(self.message).__name__, exc_info=outcome)
        elif not self.reply.done():
            if isinstance(outcome, Exception):
                self.reply.set_exception(outcome)
            else:
                self.reply.set_result(outcome)

    def _settle_from(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self.settle(Overloaded(retry_after=1))
        else:
            self.settle(future.exception() or future.result())


class Actor:
    """Subclass, register handlers in `__init__`, then `start()`. See the module's docstring."""

    def __init__(self, *, mailbox: int = 1024, turn: int = 256, jobs: int = 64) -> None:
        self._capacity, self._turn, self._job_limit = mailbox, turn, jobs
        self._waiting: deque[Envelope] = deque()
        self._waiting_for: dict[type[Message[Any]], int] = {}
        self._mail = asyncio.Event()
        self._handlers: dict[type[Message[Any]], Batch] = {}
        self._forwards: dict[type[Message[Any]], _Forward] = {}
        self._jobs: set[asyncio.Task[Any]] = set()
        self._periodic: list[tuple[float, Message[Any]]] = []
        self._timers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None
        self._name = type(self).__name__.lower()
        self._wait_seconds, self._refused = _WAIT.labels(self._name), _REFUSED.labels(self._name)
        self.on(Ping, self._ping)

    # --- for whoever sends ---

    async def ask(self, message: Message[R]) -> R:
        """Send and wait for the reply. Raises Overloaded at once when the mailbox is full, or the handler's error."""
        if type(message) in self._forwards:
            if self._stopping:
                raise self._refusal()
            reply: R = await self._forwards[type(message)].translate(message)
            return reply
        return await self._send(message, self._capacity)

    async def ask_each(self, messages: Sequence[Message[R]]) -> list[R | Exception]:
        """Send all, then wait: the reply to each or what was raised, in order. Those that find no room fail alone."""
        waiting: list[asyncio.Future[R] | Exception] = []
        for message in messages:
            try:
                waiting.append(self._send(message, self._capacity))
            except Overloaded as fault:
                waiting.append(fault)
        outcomes: list[R | Exception] = []
        for reply in waiting:
            try:
                outcomes.append(reply if isinstance(reply, Exception) else await reply)
            except Exception as fault:
                outcomes.append(fault)
        return outcomes

    async def report(self, message: Message[R]) -> R:
        """`ask` for the actor's own jobs: a mailbox full of requests does not keep out what one of them has led to."""
        return await self._send(message, self._capacity + self._job_limit)

    def tell(self, message: Message[Any]) -> None:
        """Send without waiting; a failure is logged. Raises Overloaded."""
        self._post(message, None, self._capacity)

    def check_capacity(self, kind: type[Message[Any]]) -> None:
        """Raises Overloaded if a message of this kind would be: to be asked before the work that leads to it."""
        if kind in self._forwards and not self._stopping:
            self._forwards[kind].check_capacity()
        else:
            self._room_for(kind, self._capacity)

    def has_waiting(self, kind: type[Message[Any]]) -> bool:
        """Whether a message of this kind waits for its turn."""
        return self._waiting_for[kind] > 0

    def _send(self, message: Message[R], capacity: int) -> asyncio.Future[R]:
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._post(message, reply, capacity)
        return reply

    def _post(self, message: Message[Any], reply: asyncio.Future[Any] | None, capacity: int) -> None:
        handler = self._handlers.get(type(message))
        if handler is None:
            raise TypeError(f"{type(self).__name__} does not handle {type(message).__name__}")
        kind = type(message)
        self._waiting_for[kind] = 1 + self._room_for(kind, capacity)
        self._waiting.append(Envelope(message, reply, handler, time.monotonic()))
        self._mail.set()

    def _room_for(self, kind: type[Message[Any]], capacity: int) -> int:
        """How many of this kind wait. Raises Overloaded when no more may."""
        waiting = self._waiting_for[kind]
        if self._stopping or waiting >= capacity:
            raise self._refusal()
        return waiting

    def _refusal(self) -> Overloaded:
        self._refused.inc()
        return Overloaded(retry_after=1)

    # --- for the subclass ---

    def on(self, kind: type[M], handler: Callable[[M], Awaitable[object]]) -> None:
        """Handle each message of `kind` by itself; one that raises fails alone."""

        async def one_by_one(batch: Sequence[M]) -> Sequence[object]:
            return await asyncio.gather(*map(handler, batch), return_exceptions=True)

        self.on_batch((kind,), one_by_one)

    def on_batch(self, kinds: Sequence[type[Message[Any]]], handler: Batch) -> None:
        """Handle all messages of `kinds` in a turn together, in order of arrival: one reply or exception for each."""
        for kind in kinds:
            self._handlers[kind], self._waiting_for[kind] = handler, 0

    def forward(
        self, kind: type[M], translate: Callable[[M], Awaitable[object]], actor: Actor, sent: type[Any]
    ) -> None:
        """Let whoever asks `kind` run `translate`, which asks `actor` a `sent` and makes its reply into theirs.

        For what changes nothing here: it waits in no mailbox of this actor, and nothing waits behind it. It runs in the
        asker's task, ends when that is cancelled, and `stop()` does not wait for it; it can be asked, not told.
        """
        self._waiting_for[kind] = 0
        self._forwards[kind] = _Forward(translate, lambda: actor.check_capacity(sent))

    def every(self, seconds: float, message: Message[Any]) -> None:
        """Tell the actor itself `message` again and again, from when it starts."""
        self._periodic.append((seconds, message))

    def start_job(self, job: Coroutine[Any, Any, R]) -> asyncio.Future[R]:
        """Run slow work beside the mailbox. Its result comes back as a message or as a handler's reply."""
        if self._stopping or len(self._jobs) >= self._job_limit:
            job.close()
            raise Overloaded(retry_after=1)
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    # --- life ---

    def start(self, *, periodic: bool = True) -> asyncio.Task[None]:
        """The loop's task. It ends by `stop()`, or with the fault that should end the process.

        Without `periodic` the actor does what it is asked, and nothing by itself.
        """
        _DEPTH.labels(self._name).set_function(lambda: len(self._waiting))
        self._loop = asyncio.create_task(self._run(), name=type(self).__name__)
        self._timers = [asyncio.create_task(self._repeat(*each)) for each in self._periodic if periodic]
        return self._loop

    async def stop(self, grace: float = 2) -> None:
        """Let jobs end or cancel them after `grace` seconds; carry out what was taken, refuse what comes after."""
        for timer in self._timers:
            timer.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=grace)
        self._stopping = True
        if self._jobs:
            for job in self._jobs:
                job.cancel()
            await asyncio.wait(self._jobs)
        self._mail.set()
        if self._loop is not None:
            await asyncio.wait([self._loop])

    async def _run(self) -> None:
        taken: list[Envelope] = []
        try:
            while self._waiting or not self._stopping:
                if not self._waiting:
                    self._mail.clear()
                    await self._mail.wait()
                    continue
                for _ in range(ROUNDS if len(self._waiting) < self._turn else 0):
                    await asyncio.sleep(0)
                taken = [self._waiting.popleft() for _ in range(min(self._turn, len(self._waiting)))]
                self._wait_seconds.observe(time.monotonic() - taken[0].posted)
                await self._take(taken)
                taken = []
        finally:  # after a fault nobody may go on waiting, neither for what was taken nor for what is in the mailbox
            self._stopping = True
            for letter in (*taken, *self._waiting):
                letter.settle(Overloaded(retry_after=1))

    async def _repeat(self, seconds: float, message: Message[Any]) -> None:
        while True:
            with contextlib.suppress(Overloaded):  # a full mailbox has better things to do; the next time will do
                self.tell(message)
            await asyncio.sleep(seconds)

    async def _take(self, letters: Sequence[Envelope]) -> None:
        by_handler: dict[Batch, list[Envelope]] = {}
        for letter in letters:
            by_handler.setdefault(letter.handler, []).append(letter)
            self._waiting_for[type(letter.message)] -= 1
        runs = [self._handle(handler, mail) for handler, mail in by_handler.items()]
        if len(runs) == 1:
            await runs[0]  # the usual turn, spared the price of a task
        else:
            await asyncio.gather(*runs)

    async def _handle(self, handler: Batch, letters: Sequence[Envelope]) -> None:
        try:
            outcomes = await handler([letter.message for letter in letters])
            assert len(outcomes) == len(letters), "a batch handler answers each message"
        except Exception as fault:
            outcomes = [fault] * len(letters)
        for letter, outcome in zip(letters, outcomes, strict=True):
            letter.settle(outcome)

    async def _ping(self, _: Ping) -> None:
        return None
