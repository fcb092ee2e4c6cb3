"""Executing an operator's command on a data folder, whether or not a server runs on it.

A data folder belongs to one process. A running server therefore executes the commands itself; without a server, the
command opens the folder for a moment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.auth.actor import Auth
from actors.auth.settings import AuthSecrets, AuthSettings
from actors.auth.tokens import Tokens
from actors.errors import ServiceUnavailable, StorageError
from actors.quota.actor import Quota
from server.clock import SystemClock
from server.operator.commands import OperatorFailed, run_command
from server.operator.socket import send_to_server
from storage.engine.database import Database
from storage.engine.lock import FolderInUse
from storage.engine.migrate import UnknownSchema


async def execute(folder: Path, command: str, phone: str = "") -> str:
    """Execute a command on a data folder and return its output. Raises OperatorFailed."""
    if not (folder / "darkroom.sqlite3").is_file():
        raise OperatorFailed(f"there is no database in {folder}; give the server's --data or --config")
    output = await send_to_server(folder, command, phone)
    if output is not None:
        return output
    async with _run_auth_actor(folder) as auth:
        return await run_command(auth, command, phone)


@asynccontextmanager
async def _run_auth_actor(folder: Path) -> AsyncIterator[Auth]:
    """Run the auth actor of a folder without a server. It sends and signs nothing, so it needs no settings."""
    try:
        db = await Database.open(folder)
    except (FolderInUse, StorageError, UnknownSchema, OSError) as fault:
        raise OperatorFailed(str(fault)) from fault
    clock = SystemClock()
    quota = Quota(db, clock)
    auth = Auth(db, clock, quota, _NoSms(), Tokens(0, clock), AuthSecrets("", ""), AuthSettings())
    for actor in (quota, auth):
        actor.start(periodic=False)  # only the command is executed, none of a server's periodic work
    try:
        yield auth
    finally:
        for actor in (auth, quota):
            await actor.stop()
        await db.close()


class _NoSms:
    """An SmsSender that sends nothing."""

    async def send(self, phone: str, code: str, minutes: int) -> None:
        raise ServiceUnavailable(service="sms", retry_after=60)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""
