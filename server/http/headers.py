"""The headers that every response of the server has: those of routes, of the sandbox's page and of aiohttp itself."""

from __future__ import annotations

from typing import ClassVar

from aiohttp import hdrs, web
from multidict import CIMultiDict

_DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",  # for browsers that do not support frame-ancestors
    "Referrer-Policy": "no-referrer",  # a picture's URL grants access to it
    "Cache-Control": "no-store",
}
_HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}  # a year; RFC 6797 forbids it over plain HTTP


class DefaultHeaders:
    """The default headers of one server; `lines` is their text. `https` says whether clients use HTTPS only."""

    def __init__(self, *, https: bool) -> None:
        self._headers = _DEFAULTS | (_HTTPS_ONLY if https else {})
        self.lines = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())

    def complete(self, headers: CIMultiDict[str]) -> None:
        """Add the default headers that a response does not set itself, and remove the one that names the software."""
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        headers.popall(hdrs.SERVER, None)


class ServerRequest(web.Request):
    """A request that completes the headers of its response just before they are sent.

    aiohttp's signal for that moment (`on_response_prepare`) is not sent for malformed requests, nor for requests that
    skip aiohttp's router.
    """

    default_headers: ClassVar[DefaultHeaders]

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        await super()._prepare_hook(response)
        self.default_headers.complete(response.headers)


def request_class(default_headers: DefaultHeaders) -> type[ServerRequest]:
    """Make the request class of one server. aiohttp creates the requests itself, so they can take no argument."""
    return type(ServerRequest.__name__, (ServerRequest,), {"default_headers": default_headers})
