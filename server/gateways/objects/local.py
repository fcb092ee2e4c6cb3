"""The local object store: files in a folder, and URLs that are signed by HMAC.

A URL is `BASE/media/KEY?expires=EPOCH_SECONDS&signature=…`; the signature covers method, key and expiry.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from actors.errors import FileMissing, LinkInvalid
from actors.ids import new_id
from actors.ports import CONTENT_TYPES, Clock, UploadTicket

UPLOAD_URL_SECONDS = 30 * 60
DOWNLOAD_URL_SECONDS = 30 * 60
MAX_KNOWN_KEYS = 8192
LISTED = 500  # objects in a batch of `objects`

_KEY_PATTERN = re.compile(r"(?:input|output)/[0-9a-f]{32}/[0-9a-f]{32}/[a-z0-9-]+\.(?:jpg|png)")
_SIGNED_PATTERN = re.compile(rf"({_KEY_PATTERN.pattern})\?expires=([0-9]{{1,12}})&signature=([0-9a-f]{{64}})")


class LocalObjects:
    """An ObjectStore in `folder`. `base_url` is the URL at which clients reach this server."""

    def __init__(self, folder: Path, base_url: str, secret: str, clock: Clock) -> None:
        self._folder, self._url_prefix, self._clock = folder, f"{base_url}/media/", clock
        self._mac = hmac.new(secret.encode(), digestmod="sha256")
        self._root = str(folder)
        self._known_keys: dict[str, None] = {}  # a dict, because it keeps the order of insertion
        self._incoming = folder / "incoming"

    def prepare(self) -> None:
        """Make the folders, and delete incomplete uploads of a former process."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    # --- actors.ports.ObjectStore ---

    def sign_upload(self, key: str) -> UploadTicket:
        expires = self._clock.now() // 1000 + UPLOAD_URL_SECONDS
        return UploadTicket(
            url=self._signed_url("PUT", key, expires),
            headers={"Content-Type": CONTENT_TYPES[Path(key).suffix]},
            expires_at=expires * 1000,
        )

    def sign_download(self, key: str) -> str:
        return self._signed_url("GET", key, self._clock.now() // 1000 + DOWNLOAD_URL_SECONDS)

    def key_from_url(self, url: str) -> str | None:
        if not url.startswith(self._url_prefix):
            return None
        parts = _SIGNED_PATTERN.fullmatch(url, len(self._url_prefix))
        if parts is None or not self._is_signed("GET", *parts.groups()):
            raise LinkInvalid
        return parts[1]

    async def exists(self, key: str) -> bool:
        """Return whether the object exists.

        Existing keys are cached, because every task creation calls this.
        """
        if key not in self._known_keys and Path(self._file_path(key)).is_file():
            self._remember(key)
        return key in self._known_keys

    async def fetch(self, key: str, target: Path) -> None:
        await asyncio.to_thread(shutil.copyfile, self.path(key), target)

    async def put(self, key: str, source: Path) -> None:
        await asyncio.to_thread(self._put, Path(self._file_path(key)), source)
        self._remember(key)

    async def delete(self, key: str) -> None:
        self._known_keys.pop(key, None)
        await asyncio.to_thread(_delete, Path(self._file_path(key)))

    async def objects(self) -> AsyncIterator[Sequence[tuple[str, int]]]:
        objects = self._list()
        while batch := await asyncio.to_thread(lambda: list(itertools.islice(objects, LISTED))):
            yield batch

    # --- for the routes of server/http/routes/files.py ---

    def check_signature(self, method: str, key: str, expires: str, signature: str) -> None:
        """Check the parts of a signed URL. Raises LinkInvalid unless they were signed here and have not expired."""
        parts = _SIGNED_PATTERN.fullmatch(f"{key}?expires={expires}&signature={signature}")
        if parts is None or not self._is_signed(method, *parts.groups()) or int(expires) <= self._clock.now() // 1000:
            raise LinkInvalid

    def path(self, key: str) -> Path:
        """Return the file of an object. Raises FileMissing."""
        path = Path(self._file_path(key))
        if not path.is_file():
            raise FileMissing
        return path

    def new_incoming_path(self, suffix: str) -> Path:
        """Return a new path for an incomplete upload, on the store's own file system."""
        return self._incoming / f"{new_id()}{suffix}"

    def _list(self) -> Iterator[tuple[str, int]]:
        for kind in ("input", "output"):
            for path in (self._folder / kind).rglob("*.*"):
                key = path.relative_to(self._folder).as_posix()
                with suppress(FileNotFoundError):  # it was deleted meanwhile
                    if _KEY_PATTERN.fullmatch(key):
                        yield key, path.stat().st_size

    def _remember(self, key: str) -> None:
        self._known_keys[key] = None
        if len(self._known_keys) > MAX_KNOWN_KEYS:
            del self._known_keys[next(iter(self._known_keys))]  # the oldest

    def _signed_url(self, method: str, key: str, expires: int) -> str:
        return f"{self._url_prefix}{key}?expires={expires}&signature={self._sign(method, key, str(expires))}"

    def _sign(self, method: str, key: str, expires: str) -> str:
        mac = self._mac.copy()  # cheaper than a new HMAC, which would hash the secret again
        mac.update(f"{method}\n{key}\n{expires}".encode())
        return mac.hexdigest()

    def _is_signed(self, method: str, key: str, expires: str, signature: str) -> bool:
        return hmac.compare_digest(self._sign(method, key, expires), signature)

    def _file_path(self, key: str) -> str:
        assert _KEY_PATTERN.fullmatch(key), "keys are made by this process and never contain .."
        return f"{self._root}/{key}"

    def _put(self, target: Path, source: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        incomplete = self.new_incoming_path(target.suffix)
        try:
            with source.open("rb") as original, incomplete.open("wb") as copy:
                shutil.copyfileobj(original, copy)
                copy.flush()
                os.fsync(copy.fileno())
            incomplete.replace(target)
        except BaseException:
            incomplete.unlink(missing_ok=True)  # a partial file would keep a full disk full
            raise
        _sync_folders(target.parent, self._folder)


def _delete(path: Path) -> None:
    """Delete a file, and the folder of its task if that is empty now."""
    path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()


def _sync_folders(folder: Path, top: Path) -> None:
    """Make a new file name durable: fsync its folder and every folder above it up to `top`."""
    while True:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if folder == top:
            return
        folder = folder.parent
