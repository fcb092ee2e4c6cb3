"""When periodic work is due by the clock of the port, so that a clock that is moved can stop at each of these times."""

from __future__ import annotations

from dataclasses import dataclass

from actors.message import Message


@dataclass(frozen=True, slots=True)
class GetNextDue(Message[int | None]):
    """Return the earliest time later than `after` at which a row of the actor needs periodic work, None without one.

    Both are epoch milliseconds. A reply that is not later than the present names work that is due now; `after=0` finds
    the oldest such work. Every actor handles this message: without a handler of its own it replies None. Purging does
    not count, because nobody can observe when a row that has no effect any more is deleted.
    """

    after: int = 0
