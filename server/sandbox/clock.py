"""Darkroom's clock in development mode, which can be moved forward. Its offset is stored in the data folder."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from actors.errors import BadParameter
from actors.ports import Clock
from server.sandbox.json_file import write_json_file

MAX_OFFSET_SECONDS = 36_525 * 86_400  # 100 years; server/http/messages.py names this limit


class ClockUnreadable(Exception):
    """The stored offset cannot be read. The message says what to do."""


class SandboxClock:
    """A Clock port: the time of `base` plus an offset, which is stored in the JSON file `path`.

    An offset that cannot be read is not taken for zero, because the clock would be set back behind the rows that were
    written by it: memberships that have ended would run again. A crash cannot cause this, because the file is replaced
    atomically. Raises ClockUnreadable.
    """

    def __init__(self, base: Clock, path: Path) -> None:
        self._base, self._path = base, path
        self.offset_seconds = _read_offset(path)

    def now(self) -> int:
        return self._base.now() + self.offset_seconds * 1000

    def check_advance(self, seconds: int) -> None:
        """Check that the clock can be moved so far; all times must remain representable. Raises BadParameter."""
        if self.offset_seconds + seconds > MAX_OFFSET_SECONDS:
            raise BadParameter(field="advanceSeconds", problem="clock_limit")

    async def advance(self, seconds: int) -> None:
        """Move the clock forward. Raises ServiceUnavailable, and then it has not moved.

        The offset is on disk before the clock moves, so that after a crash the clock is never behind the rows.
        """
        offset = self.offset_seconds + seconds
        await asyncio.to_thread(write_json_file, self._path, {"offsetSeconds": offset})
        self.offset_seconds = offset


def _read_offset(path: Path) -> int:
    """Return the stored offset in seconds, 0 without a file. Raises ClockUnreadable."""
    try:
        offset = json.loads(path.read_text("utf-8"))["offsetSeconds"]
        if type(offset) is int and 0 <= offset <= MAX_OFFSET_SECONDS:
            return offset
        problem = "offsetSeconds is not a valid number of seconds"
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError) as fault:
        problem = repr(fault)
    raise ClockUnreadable(
        f"the offset of the sandbox's clock cannot be read from {path}: {problem}; restore this file, or delete it to "
        "set the clock back to the time of this machine"
    )
