"""Idempotency keys: requests with the same key have one effect and get one answer, however often they are sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key that the caller sent, and a digest of the request that it came with."""

    key: str
    digest: bytes
