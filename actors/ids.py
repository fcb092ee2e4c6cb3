"""Ids that increase with time: UUID version 7 (RFC 9562, section 5.7) as 32 hexadecimal digits.

Increasing ids keep inserts at the right end of the index, and sort rows by age. The ids of one process increase
strictly, even within a millisecond and when the wall clock steps back (method 1 of section 6.2: the twelve bits after
the version are a counter).
"""

from __future__ import annotations

import random
import threading
import time

_last = 0
_random = random.Random()  # noqa: S311  # seeded by the system; ids are unique but not secret
_lock = threading.Lock()  # both the event loop and the database's writer thread make ids


def new_id() -> str:
    """Return a new id, greater than every id that this process made before."""
    global _last
    tick = time.time_ns() // 1_000_000 << 12
    with _lock:
        _last = max(tick, _last + 1)
        milliseconds, counter = _last >> 12, _last & 0xFFF
    return f"{milliseconds << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | _random.getrandbits(62):032x}"


def is_id(text: str) -> bool:
    """Return whether `text` has the form of an id."""
    return len(text) == 32 and all(character in "0123456789abcdef" for character in text)
