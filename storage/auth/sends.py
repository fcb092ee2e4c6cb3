"""The times at which login codes were sent, by scope: a phone, a number prefix, an address, the whole server.

They are rows, so a restart does not reset the limits. A scope numbers its sends without gaps. So one index lookup tells
whether a window of any length is full: the lookup of the send that lies `max_sends` before the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from storage.engine.connection import Connection


class SendLimit(NamedTuple):
    """At most `max_sends` sends of a scope in any `window` milliseconds."""

    scope: str
    max_sends: int
    window: int

    @property
    def scope_kind(self) -> str:
        """The kind of the scope: phone, address, prefix, all."""
        return self.scope.partition(":")[0]


def blocked_until(connection: Connection, limit: SendLimit, now: int) -> int:
    """Return when the limit allows one more send, in epoch milliseconds, or 0 when it allows one now.

    A send that lies more than one window in the future does not count, because a wrong clock has written it.
    """
    row = connection.execute(
        """
        SELECT sent_at FROM sends
        WHERE scope = :scope AND number = (SELECT MAX(number) FROM sends WHERE scope = :scope) - :max_sends + 1
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


def delete_before(connection: Connection, before: int) -> None:
    """Delete the sends before a time (epoch milliseconds). The daily limit keeps their number small."""
    connection.execute("DELETE FROM sends WHERE sent_at < ?", (before,))
