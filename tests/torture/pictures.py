"""Uploaded pictures that are written into the data folder directly, because no suite here looks at their content."""

from __future__ import annotations

from pathlib import Path

from actors.ids import new_id
from actors.ports import Clock
from server.gateways.objects.local import LocalObjects
from tests.support.server import SECRETS, Api, ApiUser


def place_picture(data: Path, user: ApiUser) -> str:
    """Write a file where an upload would store it. Return its object key."""
    key = f"input/{user.id}/{new_id()}/{new_id()}.png"
    path = data / "pictures" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"placeholder for an uploaded picture")
    return key


def picture_url(api: Api, data: Path, clock: Clock, key: str) -> str:
    """Return the signed URL that the server would give for this object key."""
    return LocalObjects(data / "pictures", api.base, SECRETS["media"], clock).sign_download(key)
