"""Routes: upload to and download from the local object store, with signed URLs only."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from actors.errors import Overloaded, StorageError, TooLarge
from actors.ports import CONTENT_TYPES, PictureWorkers
from actors.task.actor import Tasks
from actors.task.media import MAX_BYTES, owner_id
from actors.task.messages import RecordPictures
from server.http.body import receiving_body
from server.http.language import Text
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route, Success

UPLOAD_SECONDS = 120  # the time an upload has to arrive
MAX_STORED_BYTES = 40 * 1024 * 1024  # of the re-encoded picture, which can be many times larger than the upload
UPLOADS_PER_USER = 4  # at the same time
CHUNK_BYTES = 64 * 1024

_CONDITIONAL_HEADERS = ("range", "if-range", "if-match", "if-unmodified-since")


class SignedFiles(Protocol):
    """The part of the local object store that these routes need."""

    def check_signature(self, method: str, key: str, expires: str, signature: str) -> None:
        """Check the parts of a signed URL. Raises LinkInvalid."""

    def path(self, key: str) -> Path:
        """Return the path of an object. Raises FileMissing."""

    def new_incoming_path(self, suffix: str) -> Path:
        """Return an unused path for an incoming file."""

    async def put(self, key: str, source: Path) -> None: ...


class _WholeFile(web.FileResponse):
    """A response that always sends the whole file: range and conditional headers of the request are ignored."""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _CONDITIONAL_HEADERS}
        return await super().prepare(request.clone(headers=headers))


class FileRoutes:
    def __init__(self, files: SignedFiles, pictures: PictureWorkers, tasks: Tasks) -> None:
        self._files, self._pictures, self._tasks = files, pictures, tasks
        self._in_flight: Counter[str] = Counter()  # uploads by user id

    def routes(self) -> list[AnyRoute]:
        return [
            Route("PUT", "/media/{key:.+}", self._upload, Access.PUBLIC),
            Route("GET", "/media/{key:.+}", self._download, Access.PUBLIC),
        ]

    async def _upload(self, call: Call[NoBody, NoQuery]) -> Success:
        """Receive a picture and store a new encoding of it, never the uploaded bytes (docs/decisions/0004)."""
        request, key = call.request, self._checked_key(call.request)
        if (request.content_length or 0) > MAX_BYTES:
            raise TooLarge(limit="10 MB")
        with self._limit_uploads(owner_id(key)):
            await self._receive_and_store(request, key)
        return Success(message=Text("上传成功", "Uploaded"))

    async def _receive_and_store(self, request: web.Request, key: str) -> None:
        suffix = Path(key).suffix
        try:
            async with self._temporary_path(suffix) as received, self._temporary_path(suffix) as encoded:
                await _receive(request, received)
                await self._pictures.admit(received, encoded)
                size = encoded.stat().st_size
                if size > MAX_STORED_BYTES:
                    raise TooLarge(limit="40 MB")
                await self._tasks.ask(RecordPictures(owner_id(key), [(key, size)]))
                await self._files.put(key, encoded)
        except OSError as fault:  # the disk is full: the picture is not to blame
            raise StorageError(f"an upload could not be stored: {fault}") from fault

    @contextmanager
    def _limit_uploads(self, user_id: str) -> Iterator[None]:
        """Limit the uploads of a user, so that one user cannot fill the queue alone. Raises Overloaded."""
        if self._in_flight[user_id] >= UPLOADS_PER_USER:
            raise Overloaded(retry_after=1)
        self._in_flight[user_id] += 1
        try:
            yield
        finally:
            self._in_flight[user_id] -= 1
            if not self._in_flight[user_id]:
                del self._in_flight[user_id]

    async def _download(self, call: Call[NoBody, NoQuery]) -> web.FileResponse:
        key = self._checked_key(call.request)
        response = _WholeFile(self._files.path(key))
        response.content_type = CONTENT_TYPES[Path(key).suffix]
        response.headers[hdrs.CACHE_CONTROL] = "private, max-age=600"
        return response

    def _checked_key(self, request: web.Request) -> str:
        key = request.match_info["key"]
        method = "GET" if request.method == "HEAD" else request.method
        self._files.check_signature(method, key, request.query.get("expires", ""), request.query.get("signature", ""))
        return key

    @asynccontextmanager
    async def _temporary_path(self, suffix: str) -> AsyncIterator[Path]:
        path = self._files.new_incoming_path(suffix)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


async def _receive(request: web.Request, target: Path) -> None:
    """Write the body to a file. Raises TooLarge above the limit, and what `receiving_body` raises."""
    received_bytes = 0
    async with receiving_body(request, UPLOAD_SECONDS):
        with target.open("wb") as file:
            async for chunk in request.content.iter_chunked(CHUNK_BYTES):
                received_bytes += len(chunk)
                if received_bytes > MAX_BYTES:
                    raise TooLarge(limit="10 MB")
                await asyncio.to_thread(file.write, chunk)
