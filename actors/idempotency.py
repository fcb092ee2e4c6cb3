"""One effect and one answer for each key a caller gives, however often the request comes."""

from __future__ import annotations

from dataclasses import dataclass

REFUSAL_KEPT = 24 * 3_600_000  # milliseconds; what took effect is remembered for ever
FORGET_SECONDS = 600  # how often old refusals are looked for
FORGET_BATCH = 1000


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's key, and a digest of the request it came with."""

    key: str
    digest: bytes
