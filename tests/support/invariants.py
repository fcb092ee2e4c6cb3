"""What must hold in every database, whatever a test did to it."""

from __future__ import annotations

from storage.audit import audit
from storage.engine.connection import Connection
from storage.engine.database import Database


def audit_violations(connection: Connection) -> list[str]:
    """Each rule that does not hold, with whom it is broken for."""
    return [f"{finding.rule}: not so for {finding.offenders}" for finding in audit(connection)]


async def close_audited(db: Database) -> None:
    """Close the database, whose sums have to be right. Closed in any case: its threads would keep the tests alive."""
    broken = await db.read(audit_violations)
    await db.close()
    assert broken == []
