"""Answers in JSON, which is nearly all of them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from pydantic_core import to_json

from server.http.headers import DefaultHeaders, ServerRequest

_TYPE = "application/json; charset=utf-8"
_REASONS = {status.value: status.phrase for status in HTTPStatus}


def json_response(request: web.BaseRequest, content: object, status: int = 200) -> web.StreamResponse:
    """An answer with this content, for this request."""
    body = to_json(content)
    if request.version == HttpVersion11 and request.keep_alive and request.method != hdrs.METH_HEAD:
        return _AtOnce(body, status)
    return web.Response(body=body, status=status, headers={hdrs.CONTENT_TYPE: _TYPE})


def in_one_piece(status: int, standing: DefaultHeaders, headers: Mapping[str, str], body: bytes) -> bytes:
    """The whole answer, JSON, as it goes over the wire. `headers` holds none of the standing ones."""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: {_TYPE}\r\nContent-Length: {len(body)}\r\nDate: {rfc822_formatted_time()}\r\n"
    )
    more = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"{head}{standing.lines}{more}\r\n".encode() + body


class _AtOnce(web.StreamResponse):
    """Put together and sent in one piece, for a connection that goes on.

    web.Response asks a dozen questions whose answers are known here: whether to compress, to cut into chunks, to send
    cookies. Without them a bare handler's request takes 24 us of CPU instead of 37.
    """

    def __init__(self, body: bytes, status: int) -> None:
        super().__init__(status=status)
        self._bytes = body

    @property
    def keep_alive(self) -> bool:
        return super().keep_alive is not False  # it is, after force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send it all.

        Nothing here looks for line breaks in headers: their values are made by us, but for a request id and an origin,
        which are compared with what they may be.
        """
        if not self.keep_alive:
            self.headers[hdrs.CONNECTION] = "close"
        assert isinstance(request, ServerRequest)
        await request.writer.write_eof(in_one_piece(self.status, request.standing, self.headers, self._bytes))
        if request.protocol.writing_paused:  # somebody asks on and on and does not read: answers must not pile up
            await request.writer.drain()
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""
