from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from actors.errors import BadParameter, Overloaded
from actors.runtime import Actor, Message, Ping


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
    """Doubles numbers a turn at a time, refuses negative ones, and holds `Slow` answers until told."""

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


async def filled(doubler: Doubler) -> list[asyncio.Task[int]]:
    """Nine messages: one whose turn goes on until the gate opens, and eight that take all the room."""
    doubler.gate.clear()
    asked = [asyncio.create_task(doubler.ask(Double(0)))]
    await doubler.busy.wait()
    asked += [asyncio.create_task(doubler.ask(Double(n))) for n in range(1, 9)]
    await asyncio.sleep(0)
    return asked


async def test_an_answer_comes_back_to_its_asker(doubler: Doubler) -> None:
    assert await asyncio.gather(*(doubler.ask(Double(n)) for n in range(5))) == [0, 2, 4, 6, 8]


async def test_a_turn_takes_all_that_waits_up_to_its_bound_in_order(doubler: Doubler) -> None:
    doubler.gate.clear()
    first = asyncio.create_task(doubler.ask(Double(0)))
    await doubler.busy.wait()
    rest = [asyncio.create_task(doubler.ask(Double(n))) for n in range(1, 7)]
    await asyncio.sleep(0)
    doubler.gate.set()
    await asyncio.gather(first, *rest)
    assert doubler.turns == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_full_mailbox_refuses_at_once(doubler: Doubler) -> None:
    asked = await filled(doubler)
    with pytest.raises(Overloaded):
        await doubler.ask(Double(9))
    doubler.gate.set()
    assert len(await asyncio.gather(*asked)) == 9


async def test_one_refused_message_of_a_batch_fails_alone(doubler: Doubler) -> None:
    outcomes = await asyncio.gather(*(doubler.ask(Double(n)) for n in (1, -1, 3)), return_exceptions=True)
    assert outcomes[0] == 2 and isinstance(outcomes[1], BadParameter) and outcomes[2] == 6


async def test_a_handler_that_raises_fails_its_message_and_the_loop_goes_on(doubler: Doubler) -> None:
    with pytest.raises(ZeroDivisionError):
        await doubler.ask(Crash())
    assert await doubler.ask(Double(2)) == 4


async def test_an_asker_that_is_gone_stops_nothing(doubler: Doubler) -> None:
    doubler.gate.clear()
    gone = asyncio.create_task(doubler.ask(Double(1)))
    await doubler.busy.wait()
    gone.cancel()
    doubler.gate.set()
    assert await doubler.ask(Double(3)) == 6
    assert doubler.turns[0] == [1], "the message was carried out all the same"


async def test_a_job_does_not_hold_up_the_mailbox(doubler: Doubler) -> None:
    slow = asyncio.create_task(doubler.ask(Slow()))
    assert await doubler.ask(Double(1)) == 2
    assert not slow.done()
    doubler.release.set()
    assert await slow == "done"


async def test_jobs_are_bounded(doubler: Doubler) -> None:
    slow = [asyncio.create_task(doubler.ask(Slow())) for _ in range(2)]
    await doubler.ask(Ping())
    with pytest.raises(Overloaded):
        await doubler.ask(Slow())
    doubler.release.set()
    assert await asyncio.gather(*slow) == ["done", "done"]


async def test_stop_carries_out_what_was_taken_and_refuses_the_rest(doubler: Doubler) -> None:
    doubler.gate.clear()
    taken = [asyncio.create_task(doubler.ask(Double(n))) for n in range(6)]
    await doubler.busy.wait()
    stopping = asyncio.create_task(doubler.stop())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await doubler.ask(Double(9))
    doubler.gate.set()
    await stopping
    assert await asyncio.gather(*taken) == [0, 2, 4, 6, 8, 10]


async def test_a_job_that_outlasts_the_grace_of_stop_is_cancelled(doubler: Doubler) -> None:
    slow = asyncio.create_task(doubler.ask(Slow()))
    await doubler.ask(Ping())
    await doubler.stop(grace=0)
    with pytest.raises(Overloaded):
        await slow


async def test_a_message_nobody_handles_is_refused_where_it_is_sent(doubler: Doubler) -> None:
    @dataclass(frozen=True, slots=True)
    class Unknown(Message[None]):
        pass

    with pytest.raises(TypeError, match="Doubler does not handle Unknown"):
        await doubler.ask(Unknown())
    assert await doubler.ask(Double(2)) == 4


async def test_a_loop_that_dies_leaves_nobody_waiting(doubler: Doubler) -> None:
    class Fatal(BaseException):
        pass

    async def fatal(batch: Sequence[Double]) -> Sequence[object]:
        await doubler.gate.wait()
        raise Fatal

    doubler.on_batch((Double,), fatal)
    doubler.gate.clear()
    taken = [asyncio.create_task(doubler.ask(Double(n))) for n in range(8)]
    await asyncio.sleep(0)
    doubler.gate.set()
    outcomes = await asyncio.gather(*taken, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Overloaded] * 8
    with pytest.raises(Overloaded):
        await doubler.ask(Double(9))
    await doubler.stop()


async def test_a_job_reports_also_when_the_mailbox_is_full(doubler: Doubler) -> None:
    asked = await filled(doubler)
    report = asyncio.create_task(doubler.report(Double(100)))
    await asyncio.sleep(0)
    doubler.gate.set()
    assert await report == 200
    assert len(await asyncio.gather(*asked)) == 9


async def test_each_kind_of_message_has_room_of_its_own(doubler: Doubler) -> None:
    asked = await filled(doubler)
    with pytest.raises(Overloaded):
        doubler.check_capacity(Double)
    doubler.check_capacity(Ping)
    ping = asyncio.create_task(doubler.ask(Ping()))
    doubler.gate.set()
    await asyncio.gather(*asked, ping)
    doubler.check_capacity(Double)


async def test_each_of_many_is_answered_in_order_and_fails_alone(doubler: Doubler) -> None:
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
    """Forwards `Double` to another actor, as the text of its reply."""

    def __init__(self, behind: Doubler) -> None:
        super().__init__()
        self._behind = behind
        self.forward(AsText, self._as_text, behind, Double)

    async def _as_text(self, message: AsText) -> str:
        doubled = await self._behind.ask(Double(message.number))
        return str(doubled)


@dataclass(frozen=True, slots=True)
class AsText(Message[str]):
    number: int


async def test_what_is_forwarded_has_the_room_and_the_faults_of_where_it_goes(doubler: Doubler) -> None:
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
    await front.ask(Ping())  # nothing waits here
    doubler.gate.set()
    assert await asyncio.gather(held, *waiting) == [str(2 * n) for n in range(9)]
    await front.stop()
    with pytest.raises(Overloaded):
        await front.ask(AsText(1))
    with pytest.raises(Overloaded):
        front.check_capacity(AsText)
