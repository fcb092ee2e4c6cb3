"""The state that a server's answers promise, and its comparison with a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.engine.errors import StorageError
from tests.support.invariants import audit_violations

Check = Callable[[Connection], list[str]]
RequestKey = tuple[str, str]  # user id and idempotency key


@dataclass(slots=True)
class ExpectedState:
    """What successful answers have confirmed, and how many creations got no answer."""

    task_owners: dict[str, str] = field(default_factory=dict)  # user id by task id
    final_states: dict[str, str] = field(default_factory=dict)  # by task id
    paid_orders: dict[str, str] = field(default_factory=dict)  # user id by order id
    keyed_answers: dict[RequestKey, Any] = field(default_factory=dict)  # the answer to a creation with this key
    unanswered: dict[RequestKey, None] = field(default_factory=dict)
    unanswered_without_key: int = 0

    def copy(self) -> ExpectedState:
        """Return the state as of now. Each part is copied in one step, so another thread may go on adding."""
        return replace(
            self,
            task_owners=self.task_owners.copy(),
            final_states=self.final_states.copy(),
            paid_orders=self.paid_orders.copy(),
            keyed_answers=self.keyed_answers.copy(),
            unanswered=self.unanswered.copy(),
        )

    def __len__(self) -> int:
        return len(self.task_owners) + len(self.final_states) + len(self.paid_orders)

    def find_violations(self, connection: Connection) -> list[str]:
        """Return each answer that the database contradicts, and each rule of the audit that does not hold."""
        tasks = dict(connection.execute("SELECT id, status FROM tasks").fetchall())
        paid = {id for (id,) in connection.execute("SELECT id FROM orders WHERE status = 'paid'")}
        keys = {
            (user, key): id for user, key, id in connection.execute("SELECT user_id, key, task_id FROM idempotency")
        }
        return [
            *(f"task {id} was answered and is missing" for id in self.task_owners if id not in tasks),
            *(
                f"task {id} was answered to be {state} and is {tasks.get(id)}"
                for id, state in self.final_states.items()
                if tasks.get(id) != state
            ),
            *(f"order {id} was answered to be paid and is not" for id in self.paid_orders if id not in paid),
            *(
                f"key {key} was answered with task {answer['taskId']} and belongs to {keys.get(key)}"
                for key, answer in self.keyed_answers.items()
                if keys.get(key) != answer["taskId"]
            ),
            *audit_violations(connection),
        ]

    def find_unexpected_tasks(self, connection: Connection) -> list[str]:
        """Return a violation if there are more unknown tasks than creations whose answer was lost."""
        unknown = {id for (id,) in connection.execute("SELECT id FROM tasks")} - self.task_owners.keys()
        allowed = self.unanswered_without_key + len(self.unanswered)
        return [f"{len(unknown)} tasks were never answered, at most {allowed} can be"] if len(unknown) > allowed else []


def check_rows(data: Path, *checks: Check) -> list[str]:
    """Run the checks on a read-only connection, which also works while a server runs. Return their violations."""
    uri = f"{(data / 'darkroom.sqlite3').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return [violation for check in checks for violation in check(connection)]


async def check_database(data: Path, *checks: Check) -> list[str]:
    """Open the data folder as a server does at its start. Return the violations that the checks find."""
    try:
        database = await Database.open(data, readers=1)
    except StorageError as error:
        return [f"the database cannot be opened: {error}"]
    try:
        return [violation for check in checks for violation in await database.read(check)]
    finally:
        await database.close()
