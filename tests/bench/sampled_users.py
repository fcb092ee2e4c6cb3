"""Random users of a database with seed data, each with a token, a picture and tasks to read."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.auth.tokens import Caller
from actors.ids import new_id
from server.clock import SystemClock
from server.gateways.objects.local import LocalObjects
from storage.audit.open import open_for_audit
from storage.auth import signing_keys
from tests.bench.members import signing_tokens
from tests.support.server import SECRETS


@dataclass(frozen=True, slots=True)
class SampledUser:
    """`tasks` holds all task ids of the user, the oldest first; `image_url` is the URL of an uploaded picture."""

    headers: Mapping[str, str]
    tasks: tuple[str, ...]
    image_url: str


def sample_users(data: Path, base: str, count: int, rng: random.Random) -> list[SampledUser]:
    """Pick `count` random users of the server at `base`, which serves this data folder."""
    pictures = data / "pictures"
    store = LocalObjects(pictures, base, SECRETS["media"], SystemClock())
    with open_for_audit(data) as connection:
        tokens = signing_tokens(signing_keys.load(connection))
    users = []
    for user_id, phone, tasks in _read_users(data, count, rng):
        key = f"input/{user_id}/{new_id()}/photo.jpg"
        (pictures / key).parent.mkdir(parents=True)
        (pictures / key).write_bytes(b"stands for an admitted picture")
        token = tokens.issue(Caller(user_id, phone, new_id()))
        users.append(SampledUser({"Authorization": f"Bearer {token}"}, tasks, store.sign_download(key)))
    return users


def _read_users(data: Path, count: int, rng: random.Random) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The id, the phone and the task ids of each user."""
    with open_for_audit(data) as connection:
        (users,) = connection.execute("SELECT MAX(rowid) FROM users").fetchone()
        for row in rng.sample(range(1, users + 1), min(count, users)):
            user_id, phone = connection.execute("SELECT id, phone FROM users WHERE rowid = ?", (row,)).fetchone()
            tasks = connection.execute("SELECT id FROM tasks WHERE user_id = ? ORDER BY id", (user_id,))
            yield user_id, phone, tuple(task for (task,) in tasks)
