"""Times on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def iso(milliseconds: int) -> str: ...
@overload
def iso(milliseconds: None) -> None: ...
@overload
def iso(milliseconds: int | None) -> str | None: ...
def iso(milliseconds: int | None) -> str | None:
    """Epoch milliseconds as ISO 8601 in UTC: `2026-11-23T08:00:00.000Z`."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment.isoformat()[:19]}.{milliseconds % 1000:03}Z"
