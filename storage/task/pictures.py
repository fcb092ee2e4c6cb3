"""The pictures in the object store: whose they are, how large, how long they are kept, and which tasks use them.

A row is written before its object, and deleted after it, so that no object is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from storage.engine.batch import placeholders
from storage.engine.connection import Connection


class Picture(NamedTuple):
    """A picture of a user. `bytes` is its size, `keep_until` in epoch milliseconds."""

    key: str
    user_id: str
    bytes: int
    keep_until: int


class Use(NamedTuple):
    """The use of a picture by a finished task, as its input or as a result."""

    key: str
    user_id: str
    keep_until: int


def used_keys(input_key: str, results: Iterable[str]) -> list[str]:
    """Return the keys of the pictures of a task. A result can also be the URL of an external worker's picture."""
    stored = (result for result in results if not result.startswith(("http://", "https://")))
    return list(dict.fromkeys([input_key, *stored]))


def record(connection: Connection, pictures: Sequence[Picture]) -> None:
    """Add pictures, or set the size of those that have a row. They are kept at least until the time given."""
    connection.execute(
        f"""
        INSERT INTO pictures (key, user_id, bytes, keep_until) VALUES {placeholders(len(pictures), 4)}
        ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes, keep_until = MAX(keep_until, excluded.keep_until)
        """,
        [value for picture in pictures for value in picture],
    )


def add_uses(connection: Connection, uses: Sequence[Use]) -> None:
    """Count uses by finished tasks. A picture of a former version may have no row yet, and gets one."""
    if not uses:
        return
    connection.execute(
        f"""
        INSERT INTO pictures (key, user_id, bytes, uses, keep_until)
        SELECT column1, column2, 0, COUNT(*), MAX(column3) FROM (VALUES {placeholders(len(uses), 3)}) WHERE TRUE
        GROUP BY column1, column2
        ON CONFLICT (key) DO UPDATE SET
            uses = uses + excluded.uses, keep_until = MAX(keep_until, excluded.keep_until)
        """,
        [value for use in uses for value in use],
    )


def remove_uses(connection: Connection, keys: Collection[str], now: int) -> None:
    """End one use of each of these pictures. Those that no finished task uses any more are kept no longer."""
    connection.execute(
        f"""
        UPDATE pictures SET uses = MAX(uses - 1, 0), keep_until = CASE WHEN uses > 1 THEN keep_until ELSE ? END
        WHERE key IN {placeholders(1, len(keys))}
        """,
        (now, *keys),
    )


def expired(connection: Connection, now: int, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
    """Return up to `limit` pictures that need not be kept any longer, as (end, key), that come after `after`."""
    rows = connection.execute(
        """
        SELECT keep_until, key FROM pictures WHERE keep_until <= ? AND (keep_until, key) > (?, ?)
        ORDER BY keep_until, key LIMIT ?
        """,
        (now, *after, limit),
    )
    return rows.fetchall()


def deletable(connection: Connection, keys: Collection[str], now: int) -> list[str]:
    """Return those of the pictures that need not be kept any longer and that no unfinished task needs.

    A task needs its input and its results. This reads the inputs of all unfinished tasks.
    """
    if not keys:
        return []
    tasks = {key: key.split("/")[2] for key in keys}
    rows = connection.execute(
        f"""
        WITH candidate (key, task_id) AS (VALUES {placeholders(len(tasks), 2)}),
        needed (key) AS (
            SELECT input_key FROM tasks WHERE completed_at IS NULL AND holder IS NULL
            UNION ALL SELECT input_key FROM tasks WHERE lease_until IS NOT NULL
            UNION ALL SELECT key FROM candidate JOIN tasks ON tasks.id = task_id WHERE completed_at IS NULL
        )
        SELECT key FROM candidate JOIN pictures USING (key)
        WHERE keep_until <= ? AND key NOT IN (SELECT key FROM needed)
        """,
        [*(value for pair in tasks.items() for value in pair), now],
    )
    return [key for (key,) in rows]


def remove(connection: Connection, keys: Collection[str], now: int) -> None:
    """Delete the rows of pictures whose objects have been deleted, unless they have been stored again since."""
    connection.execute(
        f"DELETE FROM pictures WHERE keep_until <= ? AND key IN {placeholders(1, len(keys))}", (now, *keys)
    )
