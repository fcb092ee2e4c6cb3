"""Who the load comes from: members with a picture and a task, and phones that wait for their login.

They are made once, and put into a data folder of Darkroom and into the obvious implementation's database.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.auth.signing_keys import derive_key
from actors.auth.tokens import Caller, Key, Tokens
from actors.ids import new_id
from server.clock import SystemClock
from server.gateways.objects.local import LocalObjects
from storage.auth import signing_keys
from storage.auth.signing_keys import SigningKey
from storage.engine.migrate import migrate
from tests.support.pictures import shirt
from tests.support.server import SECRETS

BASE = "http://darkroom.bench"  # public_url: addresses of pictures are signed before the port is known
CODE = "246810"
BALANCE = 10_000_000
PEOPLE = 1000
DAYS = 30
KEY = SigningKey("bench", b"salt" * 8, 0)
SIGNING_KEY = derive_key(SECRETS["token"].encode(), KEY.salt)
DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Member:
    """`picture` is the key of an upload and `picture_url` its signed address, `task` the id of a task of theirs."""

    id: str
    phone: str
    session: str
    order: str
    token: str
    picture: str
    picture_url: str
    task: str


def members(count: int) -> list[Member]:
    clock = SystemClock()
    tokens = signing_tokens([KEY])
    store = LocalObjects(Path("unused"), BASE, SECRETS["media"], clock)
    return [_member(number, tokens, store) for number in range(count)]


def signing_tokens(keys: Sequence[SigningKey]) -> Tokens:
    """What signs as a server does that has these keys."""
    tokens = Tokens(7 * 86_400, SystemClock())
    tokens.use_keys([Key(key.id, derive_key(SECRETS["token"].encode(), key.salt)) for key in keys])
    return tokens


def _member(number: int, tokens: Tokens, store: LocalObjects) -> Member:
    user_id, session, phone = new_id(), new_id(), f"138{number:08}"
    picture = f"input/{user_id}/{new_id()}/{new_id()}.png"
    token = tokens.issue(Caller(user_id, phone, session))
    return Member(user_id, phone, session, new_id(), token, picture, store.sign_download(picture), new_id())


def login_phone(number: int) -> str:
    """Phones that have a code and no user yet: their first login makes one."""
    return f"139{number:08}"


def fill_darkroom(folder: Path, people: Sequence[Member], logins: int) -> None:
    """A data folder as Darkroom would have left it, with a living code for each of so many phones."""
    folder.mkdir(parents=True)
    _put_pictures(folder / "pictures", people)
    connection = sqlite3.connect(folder / "darkroom.sqlite3", isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        migrate(connection)
        connection.execute("BEGIN")
        _add_people(connection, people)
        _add_codes(connection, logins)
        signing_keys.add(connection, KEY)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _put_pictures(folder: Path, people: Sequence[Member]) -> None:
    picture = shirt()
    for member in people:
        path = folder / member.picture
        path.parent.mkdir(parents=True)
        path.write_bytes(picture)


def _add_people(connection: sqlite3.Connection, people: Sequence[Member]) -> None:
    now = time.time_ns() // 1_000_000
    until = now + DAYS * DAY
    insert(connection, "users (id, phone, created_at)", ((m.id, m.phone, now) for m in people))
    insert(
        connection,
        "sessions (id, user_id, created_at, expires_at)",
        ((m.session, m.id, now, until) for m in people),
    )
    insert(
        connection,
        "refresh_tokens (digest, session_id)",
        ((hashlib.sha256(m.id.encode()).digest(), m.session) for m in people),
    )
    insert(
        connection,
        """orders (id, user_id, channel, plan, amount, quota, days, rollover, auto_renew, status, transaction_id,
            created_at, expires_at, finished_at)""",
        (
            (m.order, m.id, "wx", "monthly", 9900, BALANCE, DAYS, 1, 0, "paid", f"t-{m.order}", now, now, now)
            for m in people
        ),
    )
    insert(
        connection,
        "tasks (id, user_id, type, status, input_key, params, created_at, updated_at)",
        ((m.task, m.id, "basic_clean", "pending", m.picture, '{"template": "all"}', now, now) for m in people),
    )
    insert(
        connection,
        "accounts (user_id, balance, expires_at, last_entry)",
        ((m.id, BALANCE - 1, until, 2 * n) for n, m in enumerate(people, 1)),
    )
    insert(
        connection,
        "ledger (id, user_id, kind, amount, balance, reference, created_at, previous)",
        itertools.chain.from_iterable(
            (
                (2 * n - 1, m.id, "grant", BALANCE, BALANCE, m.order, now, None),
                (2 * n, m.id, "charge", -1, BALANCE - 1, m.task, now, 2 * n - 1),
            )
            for n, m in enumerate(people, 1)
        ),
    )


def _add_codes(connection: sqlite3.Connection, logins: int) -> None:
    sent = time.time_ns() // 1_000_000
    insert(
        connection,
        "codes (phone, digest, expires_at)",
        ((phone, code_digest(phone, CODE), sent + DAY) for phone in map(login_phone, range(logins))),
    )


def code_digest(phone: str, code: str) -> bytes:
    """As the auth actor keeps codes."""
    return hmac.digest(SECRETS["code"].encode(), f"{phone}:{code}".encode(), hashlib.sha256)


def insert(connection: sqlite3.Connection, into: str, rows: Iterable[tuple[object, ...]]) -> None:
    """`into` names the table and its columns: `users (id, phone)`."""
    columns = into.count(",") + 1
    connection.executemany(f"INSERT INTO {into} VALUES ({', '.join('?' * columns)})", rows)
