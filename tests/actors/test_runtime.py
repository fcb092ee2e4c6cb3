"""The promises of the actor runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from actors.errors import BadParameter, Overloaded
from actors.message import Message
from actors.runtime import Actor, Ping
from actors.schedule import GetNextDue


@dataclass(frozen=True, slots=True)
class Double(Message[int]):
    number: int


@dataclass(frozen=True, slots=True)
class Slow(Message[str]):
    pass


@dataclass(frozen=True, slots=True)
class Crash(Message[None]):
    pass


class Doubler(Actor):
    """Doubles the numbers of a turn together, refuses negative ones, and replies to `Slow` after `release`."""

    def __init__(self, **bounds: int) -> None:
        super().__init__(**bounds)
        self.turns: list[list[int]] = []
        self.busy = asyncio.Event()
        self.gate = asyncio.Event()
        self.release = asyncio.Event()
        self.gate.set()
        self.on_batch((Double,), self._double)
        self.on(Slow, self._slow)
        self.on(Crash, self._crash)

    async def _double(self, batch: Sequence[Double]) -> Sequence[object]:
        self.turns.append([message.number for message in batch])
        self.busy.set()
        await self.gate.wait()
        return [m.number * 2 if m.number >= 0 else BadParameter(field="number", problem="negative") for m in batch]

    async def _slow(self, _: Slow) -> object:
        return self.start_job(self._wait())

    async def _wait(self) -> str:
        await self.release.wait()
        return "done"

    async def _crash(self, _: Crash) -> None:
        raise ZeroDivisionError


@pytest.fixture
async def doubler() -> AsyncIterator[Doubler]:
    actor = Doubler(mailbox=8, turn=4, jobs=2)
    actor.start()
    yield actor
    actor.gate.set()
    actor.release.set()
    await actor.stop()


async def fill_mailbox(doubler: Doubler) -> list[asyncio.Task[int]]:
    """Send nine messages: one whose turn lasts until the gate opens, and eight that use all the capacity."""
    doubler.gate.clear()
    tasks = [asyncio.create_task(doubler.ask(Double(0)))]
    await doubler.busy.wait()
    tasks += [asyncio.create_task(doubler.ask(Double(n))) for n in range(1, 9)]
    await asyncio.sleep(0)
    return tasks


async def test_a_reply_comes_back_to_its_sender(doubler: Doubler) -> None:
    assert await asyncio.gather(*(doubler.ask(Double(n)) for n in range(5))) == [0, 2, 4, 6, 8]


async def test_a_turn_takes_all_waiting_messages_in_order_up_to_its_limit(doubler: Doubler) -> None:
    doubler.gate.clear()
    first = asyncio.create_task(doubler.ask(Double(0)))
    await doubler.busy.wait()
    rest = [asyncio.create_task(doubler.ask(Double(n))) for n in range(1, 7)]
    await asyncio.sleep(0)
    doubler.gate.set()
    await asyncio.gather(first, *rest)
    assert doubler.turns == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_full_mailbox_refuses_messages_immediately(doubler: Doubler) -> None:
    tasks = await fill_mailbox(doubler)
    with pytest.raises(Overloaded):
        await doubler.ask(Double(9))
    doubler.gate.set()
    assert len(await asyncio.gather(*tasks)) == 9


async def test_a_refused_message_of_a_batch_fails_alone(doubler: Doubler) -> None:
    outcomes = await asyncio.gather(*(doubler.ask(Double(n)) for n in (1, -1, 3)), return_exceptions=True)
    assert outcomes[0] == 2 and isinstance(outcomes[1], BadParameter) and outcomes[2] == 6


async def test_a_handler_that_raises_fails_its_message_and_the_loop_continues(doubler: Doubler) -> None:
    with pytest.raises(ZeroDivisionError):
        await doubler.ask(Crash())
    assert await doubler.ask(Double(2)) == 4


async def test_a_message_is_handled_even_if_its_sender_is_gone(doubler: Doubler) -> None:
    doubler.gate.clear()
    sender = asyncio.create_task(doubler.ask(Double(1)))
    await doubler.busy.wait()
    sender.cancel()
    doubler.gate.set()
    assert await doubler.ask(Double(3)) == 6
    assert doubler.turns[0] == [1], "the message was handled all the same"


async def test_a_job_does_not_block_the_mailbox(doubler: Doubler) -> None:
    reply = asyncio.create_task(doubler.ask(Slow()))
    assert await doubler.ask(Double(1)) == 2
    assert not reply.done()
    doubler.release.set()
    assert await reply == "done"


async def test_the_number_of_jobs_is_limited(doubler: Doubler) -> None:
    slow = [asyncio.create_task(doubler.ask(Slow())) for _ in range(2)]
    await doubler.ask(Ping())
    with pytest.raises(Overloaded):
        await doubler.ask(Slow())
    doubler.release.set()
    assert await asyncio.gather(*slow) == ["done", "done"]


async def test_stop_handles_the_accepted_messages_and_refuses_others(doubler: Doubler) -> None:
    doubler.gate.clear()
    accepted = [asyncio.create_task(doubler.ask(Double(n))) for n in range(6)]
    await doubler.busy.wait()
    stopping = asyncio.create_task(doubler.stop())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await doubler.ask(Double(9))
    doubler.gate.set()
    await stopping
    assert await asyncio.gather(*accepted) == [0, 2, 4, 6, 8, 10]


async def test_stop_cancels_a_job_after_the_grace_period(doubler: Doubler) -> None:
    reply = asyncio.create_task(doubler.ask(Slow()))
    await doubler.ask(Ping())
    await doubler.stop(grace=0)
    with pytest.raises(Overloaded):
        await reply


async def test_a_message_without_a_handler_is_a_type_error_for_its_sender(doubler: Doubler) -> None:
    @dataclass(frozen=True, slots=True)
    class Unknown(Message[None]):
        pass

    with pytest.raises(TypeError, match="Doubler does not handle Unknown"):
        await doubler.ask(Unknown())
    assert await doubler.ask(Double(2)) == 4


async def test_after_a_fault_in_the_loop_no_sender_waits_forever(doubler: Doubler) -> None:
    class Fatal(BaseException):
        pass

    async def fatal(batch: Sequence[Double]) -> Sequence[object]:
        await doubler.gate.wait()
        raise Fatal

    doubler.on_batch((Double,), fatal)
    doubler.gate.clear()
    accepted = [asyncio.create_task(doubler.ask(Double(n))) for n in range(8)]
    await asyncio.sleep(0)
    doubler.gate.set()
    outcomes = await asyncio.gather(*accepted, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Overloaded] * 8
    with pytest.raises(Overloaded):
        await doubler.ask(Double(9))
    await doubler.stop()
    assert doubler._loop is not None and isinstance(doubler._loop.exception(), Fatal)


async def test_a_job_can_report_while_the_mailbox_is_full(doubler: Doubler) -> None:
    tasks = await fill_mailbox(doubler)
    report = asyncio.create_task(doubler.ask_from_job(Double(100)))
    await asyncio.sleep(0)
    doubler.gate.set()
    assert await report == 200
    assert len(await asyncio.gather(*tasks)) == 9


async def test_the_capacity_holds_for_each_kind_of_message(doubler: Doubler) -> None:
    tasks = await fill_mailbox(doubler)
    with pytest.raises(Overloaded):
        doubler.check_capacity(Double)
    doubler.check_capacity(Ping)
    ping = asyncio.create_task(doubler.ask(Ping()))
    doubler.gate.set()
    await asyncio.gather(*tasks, ping)
    doubler.check_capacity(Double)


async def test_messages_asked_together_are_answered_in_order_and_fail_alone(doubler: Doubler) -> None:
    doubler.gate.clear()
    held = asyncio.create_task(doubler.ask(Double(0)))
    await doubler.busy.wait()
    many = asyncio.create_task(doubler.ask_each([Double(n) for n in (1, -1, 3, 4, 5, 6, 7, 8, 9, 10)]))
    await asyncio.sleep(0)
    doubler.gate.set()
    outcomes = await many
    assert [o for o in outcomes if isinstance(o, int)] == [2, 6, 8, 10, 12, 14, 16]
    assert [type(o) for o in outcomes if not isinstance(o, int)] == [BadParameter, Overloaded, Overloaded]
    assert await held == 0


class Front(Actor):
    """Forwards `AsText` to another actor as a `Double`, and replies with a text."""

    def __init__(self, doubler: Doubler) -> None:
        super().__init__()
        self._doubler = doubler
        self.forward(AsText, self._as_text, doubler, Double)

    async def _as_text(self, message: AsText) -> str:
        doubled = await self._doubler.ask(Double(message.number))
        return str(doubled)


@dataclass(frozen=True, slots=True)
class AsText(Message[str]):
    number: int


async def test_a_forwarded_message_has_the_capacity_and_the_errors_of_its_destination(doubler: Doubler) -> None:
    front = Front(doubler)
    front.start()
    assert await front.ask(AsText(4)) == "8"
    with pytest.raises(BadParameter):
        await front.ask(AsText(-1))
    doubler.gate.clear()
    doubler.busy.clear()
    held = asyncio.create_task(front.ask(AsText(0)))
    await doubler.busy.wait()
    waiting = [asyncio.create_task(front.ask(AsText(n))) for n in range(1, 9)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        front.check_capacity(AsText)
    with pytest.raises(Overloaded):
        await front.ask(AsText(9))
    await front.ask(Ping())  # the mailbox of this actor is empty
    doubler.gate.set()
    assert await asyncio.gather(held, *waiting) == [str(2 * n) for n in range(9)]
    await front.stop()
    with pytest.raises(Overloaded):
        await front.ask(AsText(1))
    with pytest.raises(Overloaded):
        front.check_capacity(AsText)


@dataclass(frozen=True, slots=True)
class Tick(Message[None]):
    pass


class Repeater(Doubler):
    """Does three things periodically: `Crash`, which fails, and `Slow` and `Tick`, which start jobs.

    The job of `Slow` is the reply to its message. The jobs of `Tick`, which wait for `finish`, are not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ended = 0, 0
        self.finish = asyncio.Event()
        self.on(Tick, self._tick)
        for message in (Crash(), Slow(), Tick()):
            self.every(3600, message)

    async def _tick(self, _: Tick) -> None:
        self.begun += 1
        self.start_job(self._finish_tick())

    async def _finish_tick(self) -> None:
        await self.finish.wait()
        self.ended += 1


@pytest.fixture
async def repeater() -> AsyncIterator[Repeater]:
    actor = Repeater()
    actor.start(periodic=False)
    yield actor
    await actor.stop()


async def let_turns_pass(actor: Actor) -> None:
    """Return after more turns than `run_periodic` takes while no job runs."""
    for _ in range(10):
        await actor.ask(Ping())


async def test_periodic_work_ends_with_its_jobs_and_a_failure_stops_nothing(
    repeater: Repeater, caplog: pytest.LogCaptureFixture
) -> None:
    running = asyncio.create_task(repeater.run_periodic())
    repeater.release.set()
    await let_turns_pass(repeater)
    assert (repeater.begun, running.done()) == (1, False)
    repeater.finish.set()
    await running
    assert repeater.ended == 1
    assert "Crash" in caplog.text


async def test_periodic_work_begins_when_the_jobs_that_run_already_have_ended(repeater: Repeater) -> None:
    await repeater.ask(Tick())
    repeater.release.set()
    running = asyncio.create_task(repeater.run_periodic())
    await let_turns_pass(repeater)
    assert repeater.begun == 1
    repeater.finish.set()
    await running
    assert (repeater.begun, repeater.ended) == (2, 2)


async def test_a_stopped_actor_refuses_periodic_work(repeater: Repeater) -> None:
    await repeater.stop()
    with pytest.raises(Overloaded):
        await repeater.run_periodic()


async def test_an_actor_without_rows_that_need_work_has_no_next_time(doubler: Doubler) -> None:
    assert await doubler.ask(GetNextDue()) is None


@dataclass(frozen=True, slots=True)
class Store(Message[None]):
    pass


class Chain(Actor):
    """Does `Tick` periodically. It sends a `Store`, whose handler waits for `release` and then starts a job."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.release, self.ended = asyncio.Event(), asyncio.Event(), False
        self.on(Tick, self._tick)
        self.on(Store, self._start)
        self.every(3600, Tick())

    async def _tick(self, _: Tick) -> None:
        self.tell(Store())

    async def _start(self, _: Store) -> None:
        self.busy.set()
        await self.release.wait()
        self.start_job(self._end())

    async def _end(self) -> None:
        self.ended = True


async def test_periodic_work_includes_the_jobs_of_messages_that_it_sent() -> None:
    chain = Chain()
    chain.start(periodic=False)
    running = asyncio.create_task(chain.run_periodic())
    await chain.busy.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    chain.release.set()
    await running
    assert chain.ended
    await chain.stop()
