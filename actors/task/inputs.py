"""Keeps the creation of a task and the deletion of its input picture apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class InputsInUse:
    """Inputs of tasks that are being created, and pictures that are being deleted. None is both at the same time."""

    def __init__(self) -> None:
        self._needed: Counter[str] = Counter()
        self._deleting: set[str] = set()

    def is_being_deleted(self, key: str) -> bool:
        return key in self._deleting

    @contextmanager
    def needed(self, key: str) -> Iterator[None]:
        """Keep a picture from being deleted, unless it is being deleted already."""
        self._needed[key] += 1
        try:
            yield
        finally:
            self._needed[key] -= 1
            if not self._needed[key]:
                del self._needed[key]

    @contextmanager
    def deleting(self, keys: Collection[str]) -> Iterator[list[str]]:
        """Yield those of the keys that no task in creation needs. Until the end no new task can use them."""
        free = [key for key in keys if key not in self._needed]
        self._deleting.update(free)
        try:
            yield free
        finally:
            self._deleting.difference_update(free)
