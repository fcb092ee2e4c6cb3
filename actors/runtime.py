"""The actor runtime: an actor has a bounded mailbox and one task that reads it.

A message is a frozen dataclass that names the type of its reply: `class Charge(Message[Balance])`. So the result of
`await quota.ask(Charge(…))` has a type. An actor registers a handler for one message or for all of a turn together:

    self.on(GetPlans, self._get_plans)                       # async (GetPlans) -> Plans
    self.on_batch((Charge, Refund), self._execute_batch)     # async ([Charge | Refund]) -> [reply or exception, …]
    self.forward(CreateTask, self._create, quota, Charge)    # async (CreateTask) -> TaskCreated, by asking a Charge

The capacity of the mailbox holds for each kind of message, so that a flood of one kind does not block the others.

A *turn* takes all waiting messages, up to `turn`. The handlers of a turn run concurrently, so that their transactions
share a commit; the next turn starts when all of them have ended. A handler may wait for storage and for the actors that
it asks, but not for external services: it starts a job for that, and returns the job's future as the reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from prometheus_client import Counter, Gauge, Histogram

from actors.errors import Overloaded
from actors.message import BatchHandler, Envelope, Message
from actors.schedule import GetNextDue

log = structlog.stdlib.get_logger("darkroom.actor")

R = TypeVar("R")
M = TypeVar("M", bound=Message[Any])
MessageType = type[Message[Any]]

YIELDS_BEFORE_TURN = 3
"""How often an actor yields to the event loop before it reads its queue, unless the queue is long enough for a turn.

A request becomes a message three iterations after its bytes arrived. The clients that one commit has answered send
their next requests together; by waiting for all of them, the next turn has one commit and not two.
"""

_DEPTH = Gauge("darkroom_mailbox_messages", "Messages that wait in an actor's mailbox", ["actor"])
_WAIT = Histogram("darkroom_mailbox_wait_seconds", "How long the first message of a turn had waited", ["actor"])
_REFUSED = Counter("darkroom_mailbox_refusals", "Messages refused because a mailbox was full or closing", ["actor"])


@dataclass(frozen=True, slots=True)
class Ping(Message[None]):
    """Handled by every actor, to show that it takes its turns."""


class Actor:
    """The base class of all actors: register handlers in `__init__`, then call `start()`."""

    def __init__(self, *, mailbox: int = 1024, turn: int = 256, jobs: int = 64) -> None:
        self._capacity, self._turn, self._job_limit = mailbox, turn, jobs
        self._queue: deque[Envelope] = deque()
        self._counts: dict[MessageType, int] = {}  # how many messages of each type are in the queue
        self._wakeup = asyncio.Event()
        self._handlers: dict[MessageType, BatchHandler] = {}
        self._forwards: dict[MessageType, tuple[Callable[[Any], Awaitable[Any]], Callable[[], None]]] = {}
        self._jobs: set[asyncio.Task[Any]] = set()
        self._periodic: list[tuple[float, Message[Any]]] = []
        self._timers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None
        self._name = type(self).__name__.lower()
        self._wait_seconds, self._refused = _WAIT.labels(self._name), _REFUSED.labels(self._name)
        self.on(Ping, self._ping)
        self.on(GetNextDue, self._get_no_due)

    # --- sending ---

    async def ask(self, message: Message[R]) -> R:
        """Send a message and wait for its reply. Raises Overloaded when the mailbox is full, or the handler's error."""
        if type(message) in self._forwards:
            if self._stopping:
                raise self._refusal()
            translate, _ = self._forwards[type(message)]
            reply: R = await translate(message)
            return reply
        return await self._send(message, self._capacity)

    async def ask_each(self, messages: Sequence[Message[R]]) -> list[R | Exception]:
        """Send all messages, then wait. Returns in their order the reply to each, or the exception that it raised."""
        replies: list[asyncio.Future[R] | Exception] = []
        for message in messages:
            try:
                replies.append(self._send(message, self._capacity))
            except Overloaded as fault:
                replies.append(fault)
        outcomes: list[R | Exception] = []
        for reply in replies:
            try:
                outcomes.append(reply if isinstance(reply, Exception) else await reply)
            except Exception as fault:
                outcomes.append(fault)
        return outcomes

    async def ask_from_job(self, message: Message[R]) -> R:
        """Do what `ask` does, for the actor's own jobs: there is extra capacity for what they report."""
        return await self._send(message, self._capacity + self._job_limit)

    def tell(self, message: Message[Any]) -> None:
        """Send a message without waiting; a failure is logged. Raises Overloaded."""
        self._enqueue(message, None, self._capacity)

    def check_capacity(self, kind: MessageType) -> None:
        """Check that a message of this kind would be accepted, before doing work for it. Raises Overloaded."""
        if kind in self._forwards and not self._stopping:
            _, check_capacity = self._forwards[kind]
            check_capacity()
        else:
            self._count_queued(kind, self._capacity)

    def has_waiting(self, kind: MessageType) -> bool:
        """Return whether a message of this kind is in the queue."""
        return self._counts[kind] > 0

    def _send(self, message: Message[R], capacity: int) -> asyncio.Future[R]:
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._enqueue(message, reply, capacity)
        return reply

    def _enqueue(self, message: Message[Any], reply: asyncio.Future[Any] | None, capacity: int) -> None:
        kind = type(message)
        handler = self._handlers.get(kind)
        if handler is None:
            raise TypeError(f"{type(self).__name__} does not handle {kind.__name__}")
        self._counts[kind] = 1 + self._count_queued(kind, capacity)
        self._queue.append(Envelope(message, reply, handler, time.monotonic()))
        self._wakeup.set()

    def _count_queued(self, kind: MessageType, capacity: int) -> int:
        """Return how many messages of this kind are in the queue. Raises Overloaded when there must not be more."""
        queued = self._counts[kind]
        if self._stopping or queued >= capacity:
            raise self._refusal()
        return queued

    def _refusal(self) -> Overloaded:
        self._refused.inc()
        return Overloaded(retry_after=1)

    # --- for subclasses ---

    def on(self, kind: type[M], handler: Callable[[M], Awaitable[object]]) -> None:
        """Register a handler of single messages. When it raises, only that message fails."""

        async def one_by_one(batch: Sequence[M]) -> Sequence[object]:
            return await asyncio.gather(*map(handler, batch), return_exceptions=True)

        self.on_batch((kind,), one_by_one)

    def on_batch(self, kinds: Sequence[MessageType], handler: BatchHandler) -> None:
        """Register a handler of all messages of these kinds in a turn. It returns a reply or exception for each."""
        for kind in kinds:
            self._handlers[kind], self._counts[kind] = handler, 0

    def forward(
        self, kind: type[M], translate: Callable[[M], Awaitable[object]], actor: Actor, sent: MessageType
    ) -> None:
        """Run `translate` in the task of the sender, without a turn. It sends a `sent` to `actor` and adapts the reply.

        This is for messages that change nothing in this actor. They can be sent with `ask` but not with `tell`. They
        end when the sender is cancelled, and `stop()` does not wait for them.
        """
        self._counts[kind] = 0
        self._forwards[kind] = (translate, lambda: actor.check_capacity(sent))

    def every(self, seconds: float, message: Message[Any]) -> None:
        """Tell the actor itself a message periodically, for the first time when it starts.

        The period is measured by the monotonic clock, so that a wall clock that is set back does not stop periodic
        work. What is due is decided by the handler, by the clock of the port. When that clock is moved forward,
        `run_periodic` does the work at once, whatever part of the period has passed.
        """
        self._periodic.append((seconds, message))

    def continue_with(self, message: Message[R]) -> asyncio.Future[R]:
        """Send the actor itself a message, whose reply a handler returns as its own reply. Raises Overloaded.

        A handler that works in batches does its next batch in another turn by this.
        """
        return self._send(message, self._capacity)

    def start_job(self, job: Coroutine[Any, Any, R]) -> asyncio.Future[R]:
        """Run slow work beside the mailbox. Raises Overloaded when too many jobs are running."""
        if self._stopping or len(self._jobs) >= self._job_limit:
            job.close()
            raise Overloaded(retry_after=1)
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    async def run_periodic(self) -> None:
        """Do all periodic work once, and wait until it and the jobs that it started have ended.

        A message that fails is logged, and does not stop the others. Raises Overloaded when the actor is stopping.
        """
        await self._wait_for_jobs()  # a job that read the clock before this call may miss what is due by now
        messages = [message for _, message in self._periodic]
        for message, outcome in zip(messages, await self.ask_each(messages), strict=True):
            if isinstance(outcome, Exception):
                log.error("periodic work failed", message=type(message).__name__, exc_info=outcome)
        await self._wait_for_jobs()

    async def _wait_for_jobs(self) -> None:
        """Handle the messages that are waiting, and wait for the jobs that are running then, but not for later ones."""
        for _ in range(2):  # the handlers of a turn run concurrently, so only the next turn begins after all of them
            await self.ask(Ping())
        if self._jobs:
            await asyncio.wait(set(self._jobs))

    # --- the loop ---

    def start(self, *, periodic: bool = True) -> asyncio.Task[None]:
        """Start the loop and return its task.

        The task ends after `stop()`, or with a fault after which the process must end.
        """
        _DEPTH.labels(self._name).set_function(lambda: len(self._queue))
        self._loop = asyncio.create_task(self._run(), name=type(self).__name__)
        self._timers = [asyncio.create_task(self._repeat(*each)) for each in self._periodic if periodic]
        return self._loop

    async def stop(self, grace: float = 2) -> None:
        """Stop the actor.

        Jobs may run for `grace` seconds, and those that have not ended are cancelled. From then on new messages are
        refused, and the accepted ones are handled.
        """
        for timer in self._timers:
            timer.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=grace)
        self._stopping = True
        if self._jobs:
            for job in self._jobs:
                job.cancel()
            await asyncio.wait(self._jobs)
        self._wakeup.set()
        if self._loop is not None:
            await asyncio.wait([self._loop])

    async def _run(self) -> None:
        taken: list[Envelope] = []
        try:
            while self._queue or not self._stopping:
                if not self._queue:
                    self._wakeup.clear()
                    await self._wakeup.wait()
                    continue
                for _ in range(YIELDS_BEFORE_TURN if len(self._queue) < self._turn else 0):
                    await asyncio.sleep(0)
                taken = [self._queue.popleft() for _ in range(min(self._turn, len(self._queue)))]
                self._wait_seconds.observe(time.monotonic() - taken[0].enqueued_at)
                await self._take_turn(taken)
                taken = []
        finally:  # after a fault no sender may wait forever
            self._stopping = True
            for envelope in (*taken, *self._queue):
                envelope.resolve(Overloaded(retry_after=1))

    async def _repeat(self, seconds: float, message: Message[Any]) -> None:
        while True:
            with contextlib.suppress(Overloaded):  # the message is sent again later
                self.tell(message)
            await asyncio.sleep(seconds)

    async def _take_turn(self, envelopes: Sequence[Envelope]) -> None:
        by_handler: dict[BatchHandler, list[Envelope]] = {}
        for envelope in envelopes:
            by_handler.setdefault(envelope.handler, []).append(envelope)
            self._counts[type(envelope.message)] -= 1
        runs = [self._handle(handler, batch) for handler, batch in by_handler.items()]
        if len(runs) == 1:
            await runs[0]  # the most frequent case needs no task
        else:
            await asyncio.gather(*runs)

    async def _handle(self, handler: BatchHandler, envelopes: Sequence[Envelope]) -> None:
        try:
            outcomes = await handler([envelope.message for envelope in envelopes])
            assert len(outcomes) == len(envelopes), "a batch handler returns an outcome for each message"
        except Exception as fault:
            outcomes = [fault] * len(envelopes)
        for envelope, outcome in zip(envelopes, outcomes, strict=True):
            envelope.resolve(outcome)

    async def _ping(self, _: Ping) -> None:
        return None

    async def _get_no_due(self, _: GetNextDue) -> None:
        return None
