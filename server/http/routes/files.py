"""Routes: the local object store's own upload and download, by signed address only."""

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
from actors.task.media import MAX_BYTES, owner_of
from server.http.body import arriving
from server.http.language import Text
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Reply, Route

UPLOAD_SECONDS = 120
MAX_STORED = 40 * 1024 * 1024  # encoded anew; noise of 7.9 MB as JPEG was measured to be 118 MB as PNG
UPLOADS_PER_USER = 4  # at a time
CHUNK = 64 * 1024

_CONDITIONS = ("range", "if-range", "if-match", "if-unmodified-since")


class SignedFiles(Protocol):
    """What these routes need of the store behind them."""

    def check(self, method: str, key: str, expires: str, signature: str) -> None:
        """Raises LinkInvalid."""

    def path(self, key: str) -> Path:
        """Where the object is. Raises FileMissing."""

    def incoming(self, suffix: str) -> Path:
        """A fresh path for bytes on their way in."""

    async def put(self, key: str, source: Path) -> None: ...


class _WholeFile(web.FileResponse):
    """A picture is given whole: a part it does not have, or a condition, is no reason for an empty answer."""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        kept = {name: value for name, value in request.headers.items() if name.lower() not in _CONDITIONS}
        return await super().prepare(request.clone(headers=kept))


class FileRoutes:
    def __init__(self, files: SignedFiles, pictures: PictureWorkers) -> None:
        self._files, self._pictures = files, pictures
        self._under_way: Counter[str] = Counter()

    def routes(self) -> list[AnyRoute]:
        return [
            Route("PUT", "/media/{key:.+}", self._upload, Access.PUBLIC),
            Route("GET", "/media/{key:.+}", self._download, Access.PUBLIC),
        ]

    async def _upload(self, call: Call[NoBody, NoQuery]) -> Reply:
        """Take a picture in: what is stored is a fresh encoding of it, never the bytes that came."""
        request, key = call.request, self._checked_key(call.request)
        if (request.content_length or 0) > MAX_BYTES:
            raise TooLarge(limit="10 MB")
        with self._one_of_few(owner_of(key)):
            await self._take_in(request, key)
        return Reply(message=Text("上传成功", "Uploaded"))

    async def _take_in(self, request: web.Request, key: str) -> None:
        suffix = Path(key).suffix
        try:
            async with self._scratch(suffix) as received, self._scratch(suffix) as admitted:
                await _receive(request, received)
                await self._pictures.admit(received, admitted)
                if admitted.stat().st_size > MAX_STORED:
                    raise TooLarge(limit="40 MB")
                await self._files.put(key, admitted)
        except OSError as fault:  # a full disk is no fault of the picture
            raise StorageError(f"an upload could not be stored: {fault}") from fault

    @contextmanager
    def _one_of_few(self, user_id: str) -> Iterator[None]:
        """Nobody can fill the queue of uploads alone. Raises Overloaded."""
        if self._under_way[user_id] >= UPLOADS_PER_USER:
            raise Overloaded(retry_after=1)
        self._under_way[user_id] += 1
        try:
            yield
        finally:
            self._under_way[user_id] -= 1
            if not self._under_way[user_id]:
                del self._under_way[user_id]

    async def _download(self, call: Call[NoBody, NoQuery]) -> web.FileResponse:
        key = self._checked_key(call.request)
        response = _WholeFile(self._files.path(key))
        response.content_type = CONTENT_TYPES[Path(key).suffix]
        response.headers[hdrs.CACHE_CONTROL] = "private, max-age=600"
        return response

    def _checked_key(self, request: web.Request) -> str:
        key = request.match_info["key"]
        method = "GET" if request.method == "HEAD" else request.method
        self._files.check(method, key, request.query.get("expires", ""), request.query.get("signature", ""))
        return key

    @asynccontextmanager
    async def _scratch(self, suffix: str) -> AsyncIterator[Path]:
        path = self._files.incoming(suffix)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


async def _receive(request: web.Request, target: Path) -> None:
    """Write the body to a file. Raises TooLarge past the limit, and what `arriving` raises."""
    received = 0
    async with arriving(request, UPLOAD_SECONDS):
        with target.open("wb") as file:
            async for chunk in request.content.iter_chunked(CHUNK):
                received += len(chunk)
                if received > MAX_BYTES:
                    raise TooLarge(limit="10 MB")
                await asyncio.to_thread(file.write, chunk)
