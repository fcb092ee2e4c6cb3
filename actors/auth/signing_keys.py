"""The keys of access tokens: the newest signs, and older keys stay valid until all tokens they signed have expired.

A key is derived from the operator's secret and a salt in the database. So neither a stolen backup nor a stolen secret
is enough to sign a token; after a rotation, not even both are, if they were stolen before it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from itertools import pairwise

from actors.auth.tokens import TokenKey, Tokens
from actors.ports import Clock
from storage.auth import signing_keys
from storage.auth.signing_keys import SigningKey
from storage.engine.connection import Connection
from storage.engine.database import Database

SALT_BYTES = 32


class SigningKeys:
    """Creates, loads and rotates the keys of access tokens.

    `secret` is the operator's secret from which all keys are derived.
    """

    def __init__(self, db: Database, clock: Clock, tokens: Tokens, secret: str) -> None:
        self._db, self._clock, self._tokens, self._secret = db, clock, tokens, secret.encode()

    async def load(self) -> None:
        """Load the stored keys, or create the first one, and use them."""
        self._use(await self._db.write(self._load_or_create))

    async def rotate(self) -> str:
        """Create a new key, sign with it from now on, and return its id."""
        stored = await self._db.write(self._add_key)
        self._use(stored)
        return stored[-1].id

    def _use(self, stored: Sequence[SigningKey]) -> None:
        self._tokens.use_keys([TokenKey(key.id, derive_key(self._secret, key.salt)) for key in stored])

    def _load_or_create(self, connection: Connection) -> list[SigningKey]:
        return self._purge_expired(connection) or self._add_key(connection)

    def _add_key(self, connection: Connection) -> list[SigningKey]:
        stored = signing_keys.load(connection)
        # The newest key has the latest time, also when the clock was set back.
        created_at = max([self._clock.now(), *(key.created_at + 1 for key in stored)])
        signing_keys.add(connection, SigningKey(secrets.token_hex(8), secrets.token_bytes(SALT_BYTES), created_at))
        return signing_keys.load(connection)

    def _purge_expired(self, connection: Connection) -> list[SigningKey]:
        """Delete each key whose last token has expired; return the others, oldest first."""
        oldest_valid_at = self._tokens.oldest_valid_at
        for key, successor in pairwise(signing_keys.load(connection)):
            if successor.created_at < oldest_valid_at:
                signing_keys.delete(connection, key.id)
        return signing_keys.load(connection)


def derive_key(secret: bytes, salt: bytes) -> bytes:
    """Return the 32 bytes of the key with this salt."""
    return hmac.digest(secret, b"darkroom access token\0" + salt, hashlib.sha256)
