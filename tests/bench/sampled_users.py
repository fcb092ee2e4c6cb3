"""Some of the people of a filled database, each with a token, a picture and tasks to ask for."""

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
class Visitor:
    """`tasks` are all that this person has, the oldest first; `image_url` is of a picture that was uploaded."""

    headers: Mapping[str, str]
    tasks: tuple[str, ...]
    image_url: str


def visitors(data: Path, base: str, count: int, chance: random.Random) -> list[Visitor]:
    """`count` people, spread over all there are, of the server at `base` that serves this data folder."""
    pictures = data / "pictures"
    store = LocalObjects(pictures, base, SECRETS["media"], SystemClock())
    with open_for_audit(data) as connection:
        tokens = signing_tokens(signing_keys.load(connection))
    made = []
    for person, phone, tasks in _people(data, count, chance):
        key = f"input/{person}/{new_id()}/photo.jpg"
        (pictures / key).parent.mkdir(parents=True)
        (pictures / key).write_bytes(b"stands for a picture that was admitted")
        token = tokens.issue(Caller(person, phone, new_id()))
        made.append(Visitor({"Authorization": f"Bearer {token}"}, tasks, store.sign_download(key)))
    return made


def _people(data: Path, count: int, chance: random.Random) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Ids, phones and tasks."""
    with open_for_audit(data) as connection:
        (people,) = connection.execute("SELECT MAX(rowid) FROM users").fetchone()
        for row in chance.sample(range(1, people + 1), min(count, people)):
            person, phone = connection.execute("SELECT id, phone FROM users WHERE rowid = ?", (row,)).fetchone()
            tasks = connection.execute("SELECT id FROM tasks WHERE user_id = ? ORDER BY id", (person,))
            yield person, phone, tuple(task for (task,) in tasks)
