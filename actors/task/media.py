"""Where pictures live: `input/USER/TASK/NAME` for uploads, `output/USER/TASK/NAME` for results."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from actors.errors import BadParameter, FileMissing, NotAllowed, NotAnImage, TooLarge
from actors.ids import is_id, new_id
from actors.ports import ObjectStore, UploadTicket

MAX_BYTES = 10 * 1024 * 1024
CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
_SUFFIXES = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png"}

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """Where a person may put one picture, and the address to name it by afterwards."""

    task_id: str
    prefix: str
    key: str
    ticket: UploadTicket
    download_url: str


class Media:
    """Names and owners of pictures; the bytes are the object store's."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def upload_place(self, user_id: str, file_name: str, task_id: str | None) -> UploadPlace:
        """Raises BadParameter, NotAnImage."""
        if task_id is not None and not is_id(task_id):
            raise BadParameter(field="taskId", problem="id")
        suffix = picture_suffix(file_name)
        task_id = task_id or new_id()
        prefix = f"input/{user_id}/{task_id}/"
        key = f"{prefix}{new_id()}{suffix}"  # the person's own name for it never becomes part of a path
        return UploadPlace(task_id, prefix, key, self._store.sign_upload(key), self._store.sign_download(key))

    async def own_input(self, user_id: str, url: str) -> str:
        """The key of a picture this person has uploaded.

        Raises BadParameter for an address that is not ours, LinkInvalid, NotAllowed, FileMissing.
        """
        key = self._store.key_of(url)
        if key is None:
            raise BadParameter(field="inputImageUrl", problem="foreign_url")
        if not key.startswith(f"input/{user_id}/"):
            raise NotAllowed
        if not await self._store.exists(key):
            raise FileMissing
        return key


def result_key(user_id: str, task_id: str, name: str) -> str:
    return f"output/{user_id}/{task_id}/{name}"


def owner_of(key: str) -> str:
    """The id of the person whose picture this is."""
    return key.split("/")[1]


def picture_suffix(file_name: str) -> str:
    """`.jpg` or `.png`. Raises BadParameter for a name no file should have, NotAnImage for another kind of file."""
    if not 0 < len(file_name) <= 255 or _UNSAFE.search(file_name):
        raise BadParameter(field="fileName", problem="file_name")
    suffix = _SUFFIXES.get(PurePosixPath(file_name).suffix.lower())
    if suffix is None:
        raise NotAnImage(problem="extension")
    return suffix


def check_upload(file_name: str, size: int) -> None:
    """`size` in bytes. Raises BadParameter, NotAnImage, TooLarge."""
    picture_suffix(file_name)
    if size > MAX_BYTES:
        raise TooLarge(limit="10 MB")
