"""Idempotency keys: requests with the same key have one effect and get one answer, however often they are sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic_core import to_json


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key that the caller sent, and a digest of the request that it came with."""

    key: str
    digest: bytes

    @classmethod
    def of(cls, key: str | None, *parameters: object) -> IdempotencyKey | None:
        """Return the key of a request with these parsed parameters, or None for a request without a key.

        Two requests with the same parameters have the same digest, however they were written. The digests are stored,
        so what goes into them must not change.
        """
        return None if key is None else cls(key, hashlib.sha256(to_json(parameters)).digest())
