"""The heartbeat row. The readiness check writes it to find out whether the database can be written."""

from __future__ import annotations

from storage.engine.connection import Connection


def beat(connection: Connection, now: int) -> None:
    connection.execute(
        "INSERT INTO heartbeat (id, beat_at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at",
        (now,),
    )
