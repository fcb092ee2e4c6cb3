"""Named steps of a task's life at which a server kills itself: a storage, or a port, that stops there for good.

The product knows nothing of this: the connections to SQLite, the object store and the picture workers are exchanged.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from server.gateways.objects.local import LocalObjects
from tests.torture.mutants.commits import connections

_TRANSITION = "INSERT INTO task_transitions"

COMMITS: dict[str, Callable[[str, Any], bool]] = {
    "creation": lambda sql, _: "INSERT INTO tasks" in sql,
    "recording of pictures": lambda sql, _: "INSERT INTO pictures" in sql,
    "progress": lambda sql, _: "SET progress = MAX" in sql,
    "resumption": lambda sql, _: "waiting = 1, resume_at = NULL" in sql,
    "end of former leases": lambda sql, _: "lease_until > ? AND holder = 'here'" in sql,
    "retry": lambda sql, _: "INSERT INTO adjustments" in sql,
    "deletion": lambda sql, _: "SET deleted_at" in sql,
    "cleanup": lambda sql, _: "DELETE FROM pictures" in sql,
    "cancellation": lambda sql, values: _TRANSITION in sql and "cancelled" in values,
    **{
        kind: lambda sql, values, kind=kind: _TRANSITION in sql and kind in values  # type: ignore[misc]
        for kind in ("claimed", "taken_over", "postponed", "interrupted", "succeeded", "failed")
    },
}
"""Transactions, by a statement that they contain."""

CALLS = ("fetch", "put", "delete")
"""Calls of the object store."""

STEPS = [f"{when} the commit of {name}" for name in COMMITS for when in ("before", "after")]
STEPS += [f"{when} {name}" for name in CALLS for when in ("before", "after")]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def stopping_at(step: str) -> Iterator[None]:
    """Kill the process when it reaches a step for the first time."""
    when, _, name = step.partition(" ")
    if name.startswith("the commit of "):
        with connections(_stopping_connection(COMMITS[name.removeprefix("the commit of ")], when)):
            yield
    else:
        with patch.object(LocalObjects, name, _stopping_call(getattr(LocalObjects, name), when)):
            yield


def _stopping_connection(matches: Callable[[str, Any], bool], when: str) -> type[sqlite3.Connection]:
    class StoppingConnection(sqlite3.Connection):
        """Dies before or after the commit of a transaction with a matching statement that changed a row."""

        _reached = False

        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            stops = sql == "COMMIT" and self._reached
            if stops and when == "before":
                die()
            before = self.total_changes
            cursor = super().execute(sql, parameters)
            if stops:
                die()
            if matches(sql, parameters) and (self.total_changes > before or "RETURNING" in sql):
                self._reached = True
            if sql in ("COMMIT", "ROLLBACK"):
                self._reached = False
            return cursor

    return StoppingConnection


def _stopping_call(call: Callable[..., Awaitable[None]], when: str) -> Callable[..., Awaitable[None]]:
    async def stopping(self: LocalObjects, key: str, *paths: Path) -> None:
        if when == "before":
            die()
        await call(self, key, *paths)
        die()

    return stopping
