"""Recording the pictures of a former version, which had no rows for them. This happens once, after the first start."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from storage.engine.batch import placeholders
from storage.engine.connection import Connection
from storage.task import pictures
from storage.task.pictures import Picture, Use


def are_unrecorded(connection: Connection) -> bool:
    """Return whether pictures of a former version still have to be recorded."""
    return connection.execute("SELECT 1 FROM unrecorded_pictures").fetchone() is not None


def record(connection: Connection, former: Sequence[Picture]) -> None:
    """Add pictures whose owner exists. Others belong to no user of this database."""
    owners = [picture.user_id for picture in former]
    rows = connection.execute(f"SELECT id FROM users WHERE id IN {placeholders(1, len(owners))}", owners)
    known = {user_id for (user_id,) in rows}
    if owned := [picture for picture in former if picture.user_id in known]:
        pictures.record(connection, owned)


def use_by_tasks(connection: Connection, after: str, limit: int, now: int, keep_until: int) -> str | None:
    """Count the uses by finished tasks, for up to `limit` tasks whose id is greater than `after`.

    The pictures of a task that was deleted meanwhile are kept no longer. Return the last id, or None when there are no
    more tasks.
    """
    rows = connection.execute(
        """
        SELECT id, user_id, input_key, results, completed_at IS NOT NULL AND pictures_until IS NULL, deleted_at
        FROM tasks WHERE id > ? ORDER BY id LIMIT ?
        """,
        (after, limit),
    ).fetchall()
    if finished := [row for row in rows if row[4]]:
        connection.execute(
            f"UPDATE tasks SET pictures_until = ? WHERE id IN {placeholders(1, len(finished))}",
            (keep_until, *(row[0] for row in finished)),
        )
        pictures.add_uses(connection, [use for row in finished if row[5] is None for use in _uses(row, keep_until)])
        for row in finished:
            if row[5] is not None:
                _release(connection, row, now)
    return rows[-1][0] if rows else None


def _uses(row: Sequence[Any], keep_until: int) -> list[Use]:
    _, user_id, input_key, results, *_ = row
    return [Use(key, user_id, keep_until) for key in pictures.used_keys(input_key, json.loads(results))]


def _release(connection: Connection, row: Sequence[Any], now: int) -> None:
    """Let the pictures of a deleted task be deleted. Another task that uses its input keeps it when it is counted."""
    task_id, user_id, input_key, *_ = row
    folder = f"output/{user_id}/{task_id}"
    connection.execute(
        "UPDATE pictures SET keep_until = ? WHERE uses = 0 AND (key = ? OR key BETWEEN ? AND ?)",
        (now, input_key, f"{folder}/", f"{folder}0"),  # "0" is the character after "/"
    )


def all_recorded(connection: Connection) -> None:
    """Note that all pictures of the former version have been recorded."""
    connection.execute("DELETE FROM unrecorded_pictures")
