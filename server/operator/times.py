"""Times and durations in the text that commands print."""

from __future__ import annotations

from server.http.times import iso

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def moment(milliseconds: int | None) -> str:
    """Format epoch milliseconds in UTC, to the second: `2026-11-23 08:00:00`; `-` without a time."""
    return "-" if milliseconds is None else iso(milliseconds)[:19].replace("T", " ")


def duration(milliseconds: int) -> str:
    """Format a duration in its largest unit, rounded down: `3 min`."""
    seconds = max(0, milliseconds // 1000)
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{seconds // size} {unit}"
