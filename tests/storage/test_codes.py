"""The stored login code of a phone."""

from __future__ import annotations

from storage.auth import codes
from storage.auth.codes import StoredCode
from storage.engine.connection import Connection
from storage.engine.database import Database


async def test_a_code_can_be_used_once_and_only_until_a_newer_one_replaces_it(db: Database) -> None:
    def consume_each(connection: Connection) -> list[bool]:
        codes.replace(connection, StoredCode("13800138000", b"older", 9))
        codes.replace(connection, StoredCode("13800138000", b"newer", 9))
        return [codes.consume(connection, "13800138000", digest) for digest in (b"older", b"newer", b"newer")]

    assert await db.write(consume_each) == [False, True, False]
