"""One effect and one answer for each key a caller gives, however often the request comes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's key, and a digest of the request it came with."""

    key: str
    digest: bytes
