"""What must hold in every database, whatever a test did to it."""

from __future__ import annotations

from pathlib import Path

from storage.audit.findings import audit
from storage.engine.connection import Connection
from storage.engine.database import Database


def audit_violations(connection: Connection) -> list[str]:
    """Return a line for each violated rule, with its violations."""
    return [f"violated rule: {finding.rule}: {finding.violations}" for finding in audit(connection)]


async def audit_and_close(db: Database) -> None:
    """Close the database and assert that it has no violations."""
    violations = await db.read(audit_violations)
    await db.close()  # before the assertion, because an open database's threads would keep the tests running
    assert violations == []


async def audit_stopped_server(data: Path) -> set[str]:
    """Audit the database of a stopped server and return the ids of its tasks."""
    database = await Database.open(data)
    task_ids = await database.read(lambda c: {task_id for (task_id,) in c.execute("SELECT id FROM tasks")})
    await audit_and_close(database)
    return task_ids
