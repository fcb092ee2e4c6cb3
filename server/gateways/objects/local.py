"""The local object store: a folder, and addresses signed by HMAC.

An address is `BASE/media/KEY?expires=EPOCH_SECONDS&signature=…`; the signature covers method, key and expiry.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import re
import shutil
from pathlib import Path

from actors.errors import FileMissing, LinkInvalid
from actors.ids import new_id
from actors.ports import CONTENT_TYPES, Clock, UploadTicket

UPLOAD_SECONDS = 30 * 60
DOWNLOAD_SECONDS = 30 * 60
SEEN = 8192  # keys, of some 200 bytes each

_KEY = re.compile(r"(?:input|output)/[0-9a-f]{32}/[0-9a-f]{32}/[a-z0-9-]+\.(?:jpg|png)")
_SIGNED = re.compile(rf"({_KEY.pattern})\?expires=([0-9]{{1,12}})&signature=([0-9a-f]{{64}})")


class LocalObjects:
    """An ObjectStore in `folder`; `base_url` is how the outside reaches this server."""

    def __init__(self, folder: Path, base_url: str, secret: str, clock: Clock) -> None:
        self._folder, self._base, self._clock = folder, f"{base_url}/media/", clock
        self._mac = hmac.new(secret.encode(), digestmod="sha256")
        self._root = str(folder)
        self._seen: dict[str, None] = {}
        self._incoming = folder / "incoming"

    def prepare(self) -> None:
        """Make the folders; what a former process left half received is thrown away."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)  # an orphaned worker may still write there

    # --- the port ---

    def sign_upload(self, key: str) -> UploadTicket:
        expires = self._clock.now() // 1000 + UPLOAD_SECONDS
        return UploadTicket(
            url=self._address("PUT", key, expires),
            headers={"Content-Type": CONTENT_TYPES[Path(key).suffix]},
            expires_at=expires * 1000,
        )

    def sign_download(self, key: str) -> str:
        return self._address("GET", key, self._clock.now() // 1000 + DOWNLOAD_SECONDS)

    def key_of(self, url: str) -> str | None:
        if not url.startswith(self._base):
            return None
        parts = _SIGNED.fullmatch(url, len(self._base))
        if parts is None or not self._is_signed("GET", *parts.groups()):
            raise LinkInvalid
        return parts[1]

    async def exists(self, key: str) -> bool:
        """Asked on every creation, so thousands that were seen are not looked for again: nothing takes them away."""
        if key not in self._seen and Path(self._locate(key)).is_file():
            self._see(key)
        return key in self._seen

    async def fetch(self, key: str, target: Path) -> None:
        await asyncio.to_thread(shutil.copyfile, self.path(key), target)

    async def put(self, key: str, source: Path) -> None:
        await asyncio.to_thread(self._put, Path(self._locate(key)), source)
        self._see(key)

    # --- for the routes that serve this store ---

    def check(self, method: str, key: str, expires: str, signature: str) -> None:
        """Raises LinkInvalid unless this very request was signed here and has not expired."""
        parts = _SIGNED.fullmatch(f"{key}?expires={expires}&signature={signature}")
        if parts is None or not self._is_signed(method, *parts.groups()) or int(expires) <= self._clock.now() // 1000:
            raise LinkInvalid

    def path(self, key: str) -> Path:
        """Raises FileMissing."""
        path = Path(self._locate(key))
        if not path.is_file():
            raise FileMissing
        return path

    def incoming(self, suffix: str) -> Path:
        """A fresh path on the store's own disk for bytes on their way in."""
        return self._incoming / f"{new_id()}{suffix}"

    def _see(self, key: str) -> None:
        self._seen[key] = None
        if len(self._seen) > SEEN:
            del self._seen[next(iter(self._seen))]  # the first one

    def _address(self, method: str, key: str, expires: int) -> str:
        return f"{self._base}{key}?expires={expires}&signature={self._sign(method, key, str(expires))}"

    def _sign(self, method: str, key: str, expires: str) -> str:
        mac = self._mac.copy()  # a third cheaper than to begin with the secret each time
        mac.update(f"{method}\n{key}\n{expires}".encode())
        return mac.hexdigest()

    def _is_signed(self, method: str, key: str, expires: str, signature: str) -> bool:
        return hmac.compare_digest(self._sign(method, key, expires), signature)

    def _locate(self, key: str) -> str:
        assert _KEY.fullmatch(key), "keys are made by this process and never hold a dot-dot"
        return f"{self._root}/{key}"

    def _put(self, target: Path, source: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self.incoming(target.suffix)
        try:
            with source.open("rb") as original, unfinished.open("wb") as copy:
                shutil.copyfileobj(original, copy)
                copy.flush()
                os.fsync(copy.fileno())
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)  # on a full disk the half of a picture would keep it full
            raise
        _sync_folders(target.parent, self._folder)


def _sync_folders(folder: Path, top: Path) -> None:
    """A new name is on disk when its folder is, and each new folder when the one above it is."""
    while True:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if folder == top:
            return
        folder = folder.parent
