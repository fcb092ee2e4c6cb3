"""Cross-origin requests from browsers (the Fetch standard, section 3.2), for configured origins."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aiohttp import hdrs, web
from multidict import CIMultiDict

_ALLOWED = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


class Cors:
    """The CORS policy for `origins`; None allows every origin.

    Credentials are never allowed, because tokens are sent in a header and not in cookies. Origins are compared byte by
    byte, as the standard requires.
    """

    def __init__(self, origins: Collection[str] | None) -> None:
        self._origins = origins

    def add_headers(self, request_headers: Mapping[str, str], response_headers: CIMultiDict[str]) -> None:
        """Add the CORS headers of a response."""
        origin = request_headers.get(hdrs.ORIGIN)
        if self._origins is not None:
            response_headers.add(hdrs.VARY, hdrs.ORIGIN)
        if origin is not None and self._allows(origin):
            response_headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin if self._origins is not None else "*"
            response_headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "X-Request-Id, Retry-After"

    def preflight(self, request: web.Request) -> web.Response | None:
        """Return the response to a preflight request, or None for any other request."""
        if request.method != "OPTIONS" or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return None
        return web.Response(status=204, headers=_ALLOWED if self._allows(origin) else {})

    def _allows(self, origin: str) -> bool:
        return self._origins is None or origin in self._origins
