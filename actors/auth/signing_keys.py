"""The keys of access tokens: one signs, and those before it are accepted until all that they signed has run out.

A key is derived from the operator's secret and a salt in the database: neither a stolen backup nor the secret alone
signs anything, and after a rotation not even both together, if they are from before it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from itertools import pairwise

from actors.auth.tokens import Key, Tokens
from actors.ports import Clock
from storage.auth import signing_keys
from storage.auth.signing_keys import SigningKey
from storage.engine.connection import Connection
from storage.engine.database import Database

SALT_BYTES = 32


class SigningKeys:
    """`secret` is the operator's."""

    def __init__(self, db: Database, clock: Clock, tokens: Tokens, secret: str) -> None:
        self._db, self._clock, self._tokens, self._secret = db, clock, tokens, secret.encode()

    async def load(self) -> None:
        """Use what is kept; the first start makes the first key."""
        self._use(await self._db.write(self._first_or_kept))

    async def rotate(self) -> str:
        """Make a new key and sign with it from now on; its id."""
        kept = await self._db.write(self._with_new)
        self._use(kept)
        return kept[-1].id

    def _use(self, kept: Sequence[SigningKey]) -> None:
        self._tokens.use([Key(key.id, derived(self._secret, key.salt)) for key in kept])

    def _first_or_kept(self, connection: Connection) -> list[SigningKey]:
        return self._current(connection) or self._with_new(connection)

    def _with_new(self, connection: Connection) -> list[SigningKey]:
        kept = signing_keys.load(connection)
        newer = max([self._clock.now(), *(key.created_at + 1 for key in kept)])  # also when the clock was set back
        signing_keys.add(connection, SigningKey(secrets.token_hex(8), secrets.token_bytes(SALT_BYTES), newer))
        return signing_keys.load(connection)

    def _current(self, connection: Connection) -> list[SigningKey]:
        """Those still needed, oldest first; one whose last token has run out is removed."""
        kept, since = signing_keys.load(connection), self._tokens.since
        for key, successor in pairwise(kept):
            if successor.created_at < since:
                signing_keys.delete(connection, key.id)
        return signing_keys.load(connection)


def derived(secret: bytes, salt: bytes) -> bytes:
    """The 32 bytes that sign."""
    return hmac.digest(secret, b"darkroom access token\0" + salt, hashlib.sha256)
