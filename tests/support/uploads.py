"""Uploaded pictures that are written into the data folder directly, because the tests do not look at their content."""

from __future__ import annotations

from pathlib import Path

from actors.ids import new_id
from actors.ports import Clock
from server.gateways.objects.local import LocalObjects
from tests.support.server import SECRETS, Api, ApiUser, LocalServer


async def store_picture(server: LocalServer, user: ApiUser) -> str:
    """Write a file where the server would store an upload. Return the signed URL to create a task with."""
    target = (await server.get("/api/media/sts?fileName=photo.png", user=user)).data
    _write_file(server.data, target["key"])
    return str(target["inputImageUrl"])


def store_picture_file(data: Path, user: ApiUser) -> str:
    """Write a file where an upload would be stored, without a request to the server. Return its object key."""
    key = f"input/{user.id}/{new_id()}/{new_id()}.png"
    _write_file(data, key)
    return key


def picture_url(api: Api, data: Path, clock: Clock, key: str) -> str:
    """Return the signed URL that the server would give for this object key."""
    return LocalObjects(data / "pictures", api.base, SECRETS["media"], clock).sign_download(key)


def task_body(url: str, **fields: object) -> dict[str, object]:
    """Return the body of a request to create a task."""
    return {"type": "basic_clean", "inputImageUrl": url, **fields}


def _write_file(data: Path, key: str) -> None:
    path = data / "pictures" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"placeholder for an uploaded picture")
