"""Times in requests and responses."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload


@overload
def iso(milliseconds: int) -> str: ...
@overload
def iso(milliseconds: None) -> None: ...
@overload
def iso(milliseconds: int | None) -> str | None: ...
def iso(milliseconds: int | None) -> str | None:
    """Format epoch milliseconds as ISO 8601 in UTC: `2026-11-23T08:00:00.000Z`."""
    if milliseconds is None:
        return None
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
