"""What a server has promised by answering, and whether a database keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from storage.engine.connection import Connection
from tests.support.invariants import audit_violations

Key = tuple[str, str]  # user id and idempotency key


@dataclass(slots=True)
class Promises:
    """Everything in it was answered. `strays` counts creations without a key whose answer never came."""

    tasks: dict[str, str] = field(default_factory=dict)  # user id by task id
    ended: dict[str, str] = field(default_factory=dict)  # final state by task id
    paid: dict[str, str] = field(default_factory=dict)  # user id by order id
    keyed: dict[Key, Any] = field(default_factory=dict)  # what a creation with this key was answered
    unanswered: dict[Key, None] = field(default_factory=dict)
    strays: int = 0

    def copy(self) -> Promises:
        """As of now; each part is copied in one step, so that another thread may go on adding."""
        return replace(
            self,
            tasks=self.tasks.copy(),
            ended=self.ended.copy(),
            paid=self.paid.copy(),
            keyed=self.keyed.copy(),
            unanswered=self.unanswered.copy(),
        )

    def __len__(self) -> int:
        return len(self.tasks) + len(self.ended) + len(self.paid)

    def broken(self, connection: Connection) -> list[str]:
        """Each answer that this database does not bear out, and each sum that is wrong."""
        tasks = dict(connection.execute("SELECT id, status FROM tasks").fetchall())
        paid = {id for (id,) in connection.execute("SELECT id FROM orders WHERE status = 'paid'")}
        keys = {
            (user, key): id for user, key, id in connection.execute("SELECT user_id, key, task_id FROM idempotency")
        }
        return [
            *(f"task {id} was answered and is not there" for id in self.tasks if id not in tasks),
            *(
                f"task {id} was answered to be {state} and is {tasks.get(id)}"
                for id, state in self.ended.items()
                if tasks.get(id) != state
            ),
            *(f"order {id} was answered to be paid and is not" for id in self.paid if id not in paid),
            *(
                f"key {key} was answered with task {answer['taskId']} and stands for {keys.get(key)}"
                for key, answer in self.keyed.items()
                if keys.get(key) != answer["taskId"]
            ),
            *audit_violations(connection),
        ]

    def strangers(self, connection: Connection) -> list[str]:
        """More tasks than anybody asked for: only unanswered creations may have left one that nobody was told of."""
        found = {id for (id,) in connection.execute("SELECT id FROM tasks")} - self.tasks.keys()
        allowed = self.strays + len(self.unanswered)
        return [f"{len(found)} tasks nobody was told of, {allowed} are accounted for"] if len(found) > allowed else []
