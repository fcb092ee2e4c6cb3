"""Advice to the operator about the error codes of a provider."""

from __future__ import annotations

from collections.abc import Mapping


class Hints:
    """Advice by the prefix of an error code. The longest matching prefix counts; the prefix `""` matches every code."""

    def __init__(self, by_prefix: Mapping[str, str]) -> None:
        assert "" in by_prefix, "unknown codes need advice too"
        self._by_prefix = by_prefix

    def for_code(self, code: str) -> str:
        return self._by_prefix[max((prefix for prefix in self._by_prefix if code.startswith(prefix)), key=len)]
