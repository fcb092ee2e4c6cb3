"""What the keys that sign access tokens are derived from. By itself a salt signs nothing."""

from __future__ import annotations

from typing import NamedTuple

from storage.engine.connection import Connection


class SigningKey(NamedTuple):
    """`created_at` in epoch milliseconds: from then on tokens are signed with it, until there is a newer one."""

    id: str
    salt: bytes
    created_at: int


def add(connection: Connection, key: SigningKey) -> None:
    connection.execute("INSERT INTO signing_keys (id, salt, created_at) VALUES (?, ?, ?)", key)


def load(connection: Connection) -> list[SigningKey]:
    """All of them, oldest first."""
    rows = connection.execute("SELECT id, salt, created_at FROM signing_keys ORDER BY created_at")
    return [SigningKey(*row) for row in rows]


def remove(connection: Connection, key_id: str) -> None:
    connection.execute("DELETE FROM signing_keys WHERE id = ?", (key_id,))
