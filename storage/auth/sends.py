"""When login codes were sent, by what sending is limited by: a phone, a number prefix, an address, the whole server.

In the database, so that a restart forgets nothing. A scope numbers its sends without gaps: whether a window of any
width is full is one look at the send that was so many before the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from storage.engine.connection import Connection


class Limit(NamedTuple):
    """At most `most` sends of a scope in any `window` milliseconds."""

    scope: str
    most: int
    window: int

    @property
    def by(self) -> str:
        """What the scope is one of: phone, address, prefix, all."""
        return self.scope.partition(":")[0]


def full_until(connection: Connection, limit: Limit, now: int) -> int:
    """When there is room for one more, in epoch milliseconds; 0 where there is room now.

    What claims to be further ahead than its own window was written by a clock that was wrong, and counts no more.
    """
    row = connection.execute(
        """
        SELECT sent_at FROM sends
        WHERE scope = :scope AND number = (SELECT MAX(number) FROM sends WHERE scope = :scope) - :most + 1
          AND sent_at > :now - :window AND sent_at < :now + :window
        """,
        {**limit._asdict(), "now": now},
    ).fetchone()
    return 0 if row is None else int(row[0]) + limit.window


def add(connection: Connection, scopes: Iterable[str], now: int) -> None:
    """Count a send in each of these scopes."""
    connection.executemany(
        """
        INSERT INTO sends (scope, number, sent_at)
        SELECT :scope, COALESCE(MAX(number), 0) + 1, :now FROM sends WHERE scope = :scope
        """,
        [{"scope": scope, "now": now} for scope in scopes],
    )


def forget(connection: Connection, before: int) -> None:
    """Forget those sent before a moment. They are not many: a day's ceiling bounds them."""
    connection.execute("DELETE FROM sends WHERE sent_at < ?", (before,))
