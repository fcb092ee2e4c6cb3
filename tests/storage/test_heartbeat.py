"""The heartbeat row."""

from __future__ import annotations

from storage import heartbeat
from storage.engine.database import Database


async def test_the_heartbeat_is_one_row(db: Database) -> None:
    for moment in (1, 2):
        await db.write(lambda connection, now=moment: heartbeat.beat(connection, now))  # type: ignore[misc]
    assert await db.read(lambda c: c.execute("SELECT id, beat_at FROM heartbeat").fetchall()) == [(1, 2)]
