"""A scenario: requests that are sent while the disk fails, and the comparison of their answers with the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from storage.engine.connection import Connection
from tests.support.invariants import audit_violations
from tests.support.server import LocalServer


class Scenario(Protocol):
    """`initial_data` is the data folder that the scenario starts from, or None to start without one.

    `violations` are the answers that no server may give, whatever the disk does.
    """

    violations: list[str]

    @property
    def initial_data(self) -> Path | None: ...

    @property
    def answers(self) -> int: ...

    async def run(self, server: LocalServer) -> None:
        """Send the requests while the disk fails."""

    async def retry(self, server: LocalServer) -> None:
        """Send the requests again on a healthy disk: all succeed, and completed ones repeat their answer."""

    def find_violations(self, connection: Connection) -> list[str]:
        """Return where this database differs from the answers so far."""


@dataclass(slots=True)
class FirstStart:
    """The start without a database. Even if it fails, the next start must find or create all tables."""

    initial_data: Path | None = None
    answers: int = 0
    violations: list[str] = field(default_factory=list)

    async def run(self, server: LocalServer) -> None:
        ready = await server.get("/ready")
        self.answers += 1
        if ready.status not in (200, 503):
            self.violations.append(f"/ready was answered {ready.status} {ready.content}")

    async def retry(self, server: LocalServer) -> None:
        member = await server.new_member()
        if (remaining := await server.remaining(member)) != 100:
            self.violations.append(f"a new member has a balance of {remaining} instead of 100")

    def find_violations(self, connection: Connection) -> list[str]:
        return audit_violations(connection)
