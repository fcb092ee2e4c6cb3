"""The users that send the load: members with a picture and a task, and phones with a login code.

They are created once and inserted into both Darkroom's data folder and the baseline's database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.auth.signing_keys import derive_key
from actors.auth.tokens import Caller, TokenKey, Tokens
from actors.ids import new_id
from server.clock import SystemClock
from server.gateways.objects.local import LocalObjects
from storage.auth.signing_keys import SigningKey
from tests.support.server import SECRETS

BASE = "http://darkroom.bench"  # public_url: picture URLs are signed before the port is known
CODE = "246810"
BALANCE = 10_000_000
MEMBER_COUNT = 1000
DAYS = 30
KEY = SigningKey("bench", b"salt" * 8, 0)
SIGNING_KEY = derive_key(SECRETS["token"].encode(), KEY.salt)
DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Member:
    """`picture` is the key of an uploaded picture, `picture_url` its signed URL, `task` the id of the member's task."""

    id: str
    phone: str
    session: str
    order: str
    token: str
    picture: str
    picture_url: str
    task: str


def create_members(count: int) -> list[Member]:
    clock = SystemClock()
    tokens = signing_tokens([KEY])
    store = LocalObjects(Path("unused"), BASE, SECRETS["media"], clock)
    return [_create_member(number, tokens, store) for number in range(count)]


def signing_tokens(keys: Sequence[SigningKey]) -> Tokens:
    """A token issuer like that of a server with these signing keys."""
    tokens = Tokens(7 * 86_400, SystemClock())
    tokens.use_keys([TokenKey(key.id, derive_key(SECRETS["token"].encode(), key.salt)) for key in keys])
    return tokens


def _create_member(number: int, tokens: Tokens, store: LocalObjects) -> Member:
    user_id, session, phone = new_id(), new_id(), f"138{number:08}"
    picture = f"input/{user_id}/{new_id()}/{new_id()}.png"
    token = tokens.issue(Caller(user_id, phone, session))
    return Member(user_id, phone, session, new_id(), token, picture, store.sign_download(picture), new_id())


def login_phone(number: int) -> str:
    """A phone with a code but no user yet: its first login creates the user."""
    return f"139{number:08}"


def insert_rows(connection: sqlite3.Connection, columns: str, rows: Iterable[tuple[object, ...]]) -> None:
    """`columns` names the table and its columns: `users (id, phone)`."""
    placeholders = ", ".join("?" * (columns.count(",") + 1))
    connection.executemany(f"INSERT INTO {columns} VALUES ({placeholders})", rows)
