"""What is done over a disk that fails, and how its answers and the database are compared afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from storage.engine.connection import Connection
from tests.support.invariants import audit_violations
from tests.support.server import LocalServer


class Story(Protocol):
    """`source` is the data folder it starts from, None for none; `violations` are answers that nobody should get."""

    violations: list[str]

    @property
    def source(self) -> Path | None: ...

    @property
    def answers(self) -> int: ...

    async def play(self, server: LocalServer) -> None:
        """Over the failing disk."""

    async def again(self, server: LocalServer) -> None:
        """Over a healthy disk: what may not have happened yet happens now, what has happened is only told again."""

    def broken(self, connection: Connection) -> list[str]:
        """Where this database and the answers so far differ."""


@dataclass(slots=True)
class FirstStart:
    """There is no database yet. Whatever becomes of the start, another one finds or makes all tables."""

    source: Path | None = None
    answers: int = 0
    violations: list[str] = field(default_factory=list)

    async def play(self, server: LocalServer) -> None:
        ready = await server.get("/ready")
        self.answers += 1
        if ready.status not in (200, 503):
            self.violations.append(f"/ready was answered {ready.status} {ready.content}")

    async def again(self, server: LocalServer) -> None:
        member = await server.new_member()
        if (remaining := await server.remaining(member)) != 100:
            self.violations.append(f"a new member can spend {remaining}")

    def broken(self, connection: Connection) -> list[str]:
        return audit_violations(connection)
