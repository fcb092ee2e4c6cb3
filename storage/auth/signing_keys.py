"""The salts from which the signing keys of access tokens are derived. A salt without the secret signs nothing."""

from __future__ import annotations

from typing import NamedTuple

from storage.engine.connection import Connection


class SigningKey(NamedTuple):
    """The stored salt of a signing key.

    The key signs tokens from `created_at` (epoch milliseconds) until a newer key exists.
    """

    id: str
    salt: bytes
    created_at: int


def add(connection: Connection, key: SigningKey) -> None:
    connection.execute("INSERT INTO signing_keys (id, salt, created_at) VALUES (?, ?, ?)", key)


def load(connection: Connection) -> list[SigningKey]:
    """Return all keys, oldest first."""
    rows = connection.execute("SELECT id, salt, created_at FROM signing_keys ORDER BY created_at")
    return [SigningKey(*row) for row in rows]


def delete(connection: Connection, key_id: str) -> None:
    connection.execute("DELETE FROM signing_keys WHERE id = ?", (key_id,))
