"""Cross-origin requests from browsers (the Fetch standard, section 3.2), for configured origins."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aiohttp import hdrs, web
from multidict import CIMultiDict

_ALLOWED = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


class Cors:
    """`origins` None allows any. Credentials are never allowed: tokens travel in a header, not in cookies.

    An origin is compared byte for byte, as the standard does.
    """

    def __init__(self, origins: Collection[str] | None) -> None:
        self._origins = origins

    def add_headers(self, asked: Mapping[str, str], answer: CIMultiDict[str]) -> None:
        """To the headers of the answer, for those of the request."""
        origin = asked.get(hdrs.ORIGIN)
        if self._origins is not None:
            answer.add(hdrs.VARY, hdrs.ORIGIN)
        if origin is not None and self._allows(origin):
            answer[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin if self._origins is not None else "*"
            answer[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "X-Request-Id, Retry-After"

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to the question a browser asks before the request itself; None for any other request."""
        if request.method != "OPTIONS" or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return None
        return web.Response(status=204, headers=_ALLOWED if self._allows(origin) else {})

    def _allows(self, origin: str) -> bool:
        return self._origins is None or origin in self._origins
