"""Shedding load: from so many requests of a call under way on, the next are refused before anything is made of them.

A refusal in the ordinary way takes a task, a request, an exception and a response: 57 us of the event loop's time with
thousands of connections, a multiple of what this takes. Whoever is refused and asks again at once would otherwise take
the loop away from those whose requests were accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import HttpVersion11, hdrs
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader


@dataclass(slots=True)
class Admission:
    """How many requests of one call are under way, from their arrival to their answer; beyond `limit` they are refused.

    Counted are those that come by themselves and all at once, as clients send them. Others take the ordinary way, and
    so may one whose client has gone: there the actor's own room decides, so this number need not be exact.
    """

    limit: int
    under_way: int = 0

    @property
    def is_full(self) -> bool:
        return self.under_way >= self.limit


Admissions = Mapping[tuple[str, str], Admission]
"""By method and path, for calls whose path is always the same."""


def is_simple(message: RawRequestMessage, payload: StreamReader) -> bool:
    """Whether a request is all there, and wants an answer on a connection that goes on, and nothing else."""
    return (
        payload.is_eof()
        and message.version == HttpVersion11
        and not message.should_close
        and hdrs.EXPECT not in message.headers
    )
