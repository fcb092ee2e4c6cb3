"""The audit of a data folder after its server has ended."""

from __future__ import annotations

from pathlib import Path

from storage.engine.database import Database
from tests.support.invariants import audit_and_close


async def audit(data: Path) -> set[str]:
    """Audit the database of a stopped server and return the ids of its tasks."""
    database = await Database.open(data)
    task_ids = await database.read(lambda c: {task_id for (task_id,) in c.execute("SELECT id FROM tasks")})
    await audit_and_close(database)
    return task_ids
