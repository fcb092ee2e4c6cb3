"""The keys of pictures: `input/USER/TASK/NAME` for uploads, `output/USER/TASK/NAME` for results."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from actors.errors import BadParameter, NotAllowed, NotAnImage, TooLarge
from actors.ids import is_id, new_id
from actors.ports import ObjectStore, UploadTicket

MAX_BYTES = 10 * 1024 * 1024
_SUFFIXES = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png"}

_RESULT_NAME = re.compile(r"[a-z0-9-]+\.(?:jpg|png)")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where a user may upload one picture, and the URL that names it afterwards."""

    task_id: str
    prefix: str
    key: str
    ticket: UploadTicket
    download_url: str


class Media:
    """Names pictures and checks who owns them; the object store has the bytes."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def upload_target(self, user_id: str, file_name: str, task_id: str | None) -> UploadTarget:
        """Sign an upload of a file with this name; `task_id` None stands for a new one.

        Raises BadParameter, NotAnImage.
        """
        if task_id is not None and not is_id(task_id):
            raise BadParameter(field="taskId", problem="id")
        suffix = picture_suffix(file_name)
        task_id = task_id or new_id()
        prefix = f"input/{user_id}/{task_id}/"
        key = f"{prefix}{new_id()}{suffix}"  # the name that the user gave the file never becomes part of a path
        return UploadTarget(task_id, prefix, key, self._store.sign_upload(key), self._store.sign_download(key))

    def own_input_key(self, user_id: str, url: str) -> str:
        """Return the key of a picture of this user, from its URL.

        Raises BadParameter for a URL that this server did not sign, LinkInvalid, NotAllowed.
        """
        key = self._store.key_from_url(url)
        if key is None:
            raise BadParameter(field="inputImageUrl", problem="foreign_url")
        if not key.startswith(f"input/{user_id}/"):
            raise NotAllowed
        return key


def result_key(user_id: str, task_id: str, name: str) -> str:
    """Return the key of a result. Raises ValueError when the work of a task type has given its picture a wrong name."""
    if _RESULT_NAME.fullmatch(name) is None:
        raise ValueError(f"the picture {name!r} needs another name: a-z, 0-9 and hyphens, then .jpg or .png")
    return f"output/{user_id}/{task_id}/{name}"


def owner_id(key: str) -> str:
    """Return the id of the user who owns a picture."""
    return key.split("/")[1]


def picture_suffix(file_name: str) -> str:
    """Return `.jpg` or `.png`. Raises BadParameter for an unsafe name, NotAnImage for another kind of file."""
    if not 0 < len(file_name) <= 255 or _UNSAFE.search(file_name):
        raise BadParameter(field="fileName", problem="file_name")
    suffix = _SUFFIXES.get(PurePosixPath(file_name).suffix.lower())
    if suffix is None:
        raise NotAnImage(problem="extension")
    return suffix


def check_upload(file_name: str, size: int) -> None:
    """Check the name and the size in bytes of an upload. Raises BadParameter, NotAnImage, TooLarge."""
    picture_suffix(file_name)
    if size > MAX_BYTES:
        raise TooLarge(limit="10 MB")
