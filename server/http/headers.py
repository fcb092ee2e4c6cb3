"""Headers that every answer of the server has, whoever makes it: a route, the sandbox's page, or aiohttp itself."""

from __future__ import annotations

from typing import ClassVar

from aiohttp import hdrs, web
from multidict import CIMultiDict

_STANDING = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "no-referrer",  # the address of a picture is a key to it
    "Cache-Control": "no-store",
}
_HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}  # a year; RFC 6797 forbids it over plain HTTP


class DefaultHeaders:
    """`lines` is their text, for an answer in one piece. `https` is whether the outside reaches the server by it."""

    def __init__(self, *, https: bool) -> None:
        self._headers = _STANDING | (_HTTPS_ONLY if https else {})
        self.lines = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())

    def complete(self, headers: CIMultiDict[str]) -> None:
        """Add those which the answer has not got a value of its own for, and take away what names our software."""
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        headers.popall(hdrs.SERVER, None)


class ServerRequest(web.Request):
    """A request that completes the headers of whatever answers it, at the last moment.

    aiohttp adds its own just before; its signal for that moment is not sent for what is no HTTP, nor on our short way.
    """

    standing: ClassVar[DefaultHeaders]

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        await super()._prepare_hook(response)
        self.standing.complete(response.headers)


def request_class(standing: DefaultHeaders) -> type[ServerRequest]:
    """Of one server's requests. aiohttp makes them from what came over the wire, so that nothing else can be passed."""
    return type(ServerRequest.__name__, (ServerRequest,), {"standing": standing})
