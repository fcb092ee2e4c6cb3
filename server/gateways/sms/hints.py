"""What the operator should do about a provider's code."""

from __future__ import annotations

from collections.abc import Mapping


class Hints:
    """Advice by the beginning of a code; the longest that fits counts. `""` fits every code and must be there."""

    def __init__(self, by_beginning: Mapping[str, str]) -> None:
        assert "" in by_beginning, "a code that nobody thought of needs advice most"
        self._by_beginning = by_beginning

    def of(self, code: str) -> str:
        return self._by_beginning[max((start for start in self._by_beginning if code.startswith(start)), key=len)]
