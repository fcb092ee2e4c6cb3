"""The answers to task creations with an Idempotency-Key, so that the same key gives the same answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from typing import NamedTuple

from storage.engine.batch import placeholders
from storage.engine.connection import Connection


class StoredAnswer(NamedTuple):
    """The stored answer to an idempotency key of a creation.

    It has either the created task and the balance after it, or the name of the refusal. `digest` is of the body.
    """

    user_id: str
    key: str
    digest: bytes
    task_id: str | None
    refusal: str | None
    balance: int
    created_at: int


def load(connection: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], StoredAnswer]:
    """Return the stored answers by (user id, key).

    The statement is a join, because SQLite scans the table for `(user_id, key) IN (VALUES …)` with several rows.
    """
    if not keys:
        return {}
    rows = connection.execute(
        f"""
        WITH requested (user_id, key) AS (VALUES {placeholders(len(keys), 2)})
        SELECT user_id, key, digest, task_id, refusal, balance, created_at
        FROM requested JOIN idempotency USING (user_id, key)
        """,
        [part for key in keys for part in key],
    )
    return {(row[0], row[1]): StoredAnswer(*row) for row in rows}


def add(connection: Connection, answers: Sequence[StoredAnswer]) -> None:
    if not answers:
        return
    connection.execute(
        f"""
        INSERT INTO idempotency (user_id, key, digest, task_id, refusal, balance, created_at)
        VALUES {placeholders(len(answers), 7)}
        """,
        list(chain.from_iterable(answers)),
    )


def purge_refusals(connection: Connection, before: int, limit: int) -> int:
    """Delete up to `limit` refusals from before a time (epoch milliseconds). Return how many were deleted.

    Answers that name a task are never deleted.
    """
    deleted = connection.execute(
        """
        DELETE FROM idempotency WHERE (user_id, key) IN
            (SELECT user_id, key FROM idempotency WHERE refusal IS NOT NULL AND created_at < ? LIMIT ?)
        """,
        (before, limit),
    )
    return deleted.rowcount
