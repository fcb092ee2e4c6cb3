"""Mutants that count sent codes or login attempts in memory instead of in the database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from storage.auth import codes, sends
from storage.engine.connection import Connection


@contextmanager
def limiting_in_memory() -> Iterator[None]:
    """Count the codes that were sent in memory only."""
    sent: dict[Connection, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # each start opens another

    def blocked_until(connection: Connection, limit: sends.SendLimit, now: int) -> int:
        inside = [moment for moment in sent[connection][limit.scope] if moment > now - limit.window]
        return inside[-limit.max_sends] + limit.window if len(inside) >= limit.max_sends else 0

    def add(connection: Connection, scopes: Iterable[str], now: int) -> None:
        for scope in scopes:
            sent[connection][scope].append(now)

    with patch.multiple(sends, blocked_until=blocked_until, add=add):
        yield


@contextmanager
def counting_tries_in_memory() -> Iterator[None]:
    """Count the login attempts of a code in memory only."""
    taken: Counter[bytes] = Counter()

    def count_try(connection: Connection, phone: str, now: int, tries: int) -> bytes | None:
        query = "SELECT digest FROM codes WHERE phone = ? AND expires_at > ?"
        row = connection.execute(query, (phone, now)).fetchone()
        if row is None or taken[row[0]] >= tries:
            return None
        taken[row[0]] += 1
        return bytes(row[0])

    with patch.object(codes, "count_try", count_try):
        yield
