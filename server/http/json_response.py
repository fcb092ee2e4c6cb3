"""Responses in JSON, which are nearly all responses."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from pydantic_core import to_json

from server.http.headers import DefaultHeaders, ServerRequest

_CONTENT_TYPE = "application/json; charset=utf-8"
_REASONS = {status.value: status.phrase for status in HTTPStatus}


def json_response(request: web.BaseRequest, content: object, status: int = 200) -> web.StreamResponse:
    """Make the response to a request, with this content as JSON."""
    body = to_json(content)
    if request.version == HttpVersion11 and request.keep_alive and request.method != hdrs.METH_HEAD:
        return _BufferedResponse(body, status)
    return web.Response(body=body, status=status, headers={hdrs.CONTENT_TYPE: _CONTENT_TYPE})


def serialize_response(status: int, default_headers: DefaultHeaders, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a whole JSON response as bytes. `headers` must not contain any of the default headers."""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: {_CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\nDate: {rfc822_formatted_time()}\r\n"
    )
    more_lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"{head}{default_headers.lines}{more_lines}\r\n".encode() + body


class _BufferedResponse(web.StreamResponse):
    """A response that is sent in a single write, for a persistent connection.

    It replaces web.Response, which checks on each response whether to compress it, to send it in chunks or to set
    cookies. Here the answer is always no (docs/decisions/0016).
    """

    def __init__(self, body: bytes, status: int) -> None:
        super().__init__(status=status)
        self._bytes = body

    @property
    def keep_alive(self) -> bool:
        return super().keep_alive is not False  # it is False after force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send the whole response.

        Header values are not checked for line breaks: they come from this server, except the request id and the
        origin, which have been compared with what is allowed.
        """
        if not self.keep_alive:
            self.headers[hdrs.CONNECTION] = "close"
        assert isinstance(request, ServerRequest)
        response = serialize_response(self.status, request.default_headers, self.headers, self._bytes)
        await request.writer.write_eof(response)
        if request.protocol.writing_paused:  # the client does not read, and responses must not pile up in memory
            await request.writer.drain()
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has sent everything."""
