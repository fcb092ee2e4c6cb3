"""Admission control: beyond a number of requests in flight, further ones are rejected before a handler runs.

Rejecting a request in the ordinary way costs a task, a request, an exception and a response. Under overload those
rejections would take the event loop's time away from the requests that were accepted (docs/decisions/0010).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import HttpVersion11, hdrs
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader


@dataclass(slots=True)
class AdmissionControl:
    """Counts the requests of one endpoint between their arrival and their response, up to `limit`.

    Only simple requests are counted (see `is_simple`). All others, and requests whose client has disconnected, are
    limited by the actor's own capacity, so the count need not be exact.
    """

    limit: int
    in_flight: int = 0

    @property
    def is_full(self) -> bool:
        return self.in_flight >= self.limit


AdmissionControls = Mapping[tuple[str, str], AdmissionControl]
"""By method and path, for routes whose path has no parameters."""


def is_simple(message: RawRequestMessage, payload: StreamReader) -> bool:
    """Return whether a request has arrived completely, keeps its connection open and expects nothing but a response."""
    return (
        payload.is_eof()
        and message.version == HttpVersion11
        and not message.should_close
        and hdrs.EXPECT not in message.headers
    )
