"""An operator's command carried out on a data folder, whether or not a server runs on it.

A data folder belongs to one process. So a server that runs carries the commands out itself; without one, the command
takes the folder for a moment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.auth.actor import Auth
from actors.auth.settings import AuthSecrets, AuthSettings
from actors.auth.tokens import Tokens
from actors.errors import ServiceUnavailable
from actors.quota.actor import Quota
from server.clock import SystemClock
from server.operator.commands import OperatorFailed, carry_out
from server.operator.socket import ask_server
from storage.engine.database import Database, StorageError
from storage.engine.lock import FolderInUse
from storage.engine.migrate import UnknownSchema


async def order(folder: Path, command: str, phone: str = "") -> str:
    """Have a command carried out on a data folder, by its server if one runs. Raises OperatorFailed."""
    if not (folder / "darkroom.sqlite3").is_file():
        raise OperatorFailed(f"there is no database in {folder}; give the server's --data or --config")
    answer = await ask_server(folder, command, phone)
    if answer is not None:
        return answer
    async with _alone(folder) as auth:
        return await carry_out(auth, command, phone)


@asynccontextmanager
async def _alone(folder: Path) -> AsyncIterator[Auth]:
    """The auth actor of a folder that no server has. It sends nothing and signs nothing, so it needs no settings."""
    try:
        db = await Database.open(folder)
    except (FolderInUse, StorageError, UnknownSchema, OSError) as fault:
        raise OperatorFailed(str(fault)) from fault
    clock = SystemClock()
    quota = Quota(db, clock)
    auth = Auth(db, clock, quota, _NoSms(), Tokens(0, clock), AuthSecrets("", ""), AuthSettings())
    for actor in (quota, auth):
        actor.start(periodic=False)  # one command, and not what a server does by the way
    try:
        yield auth
    finally:
        for actor in (auth, quota):
            await actor.stop()
        await db.close()


class _NoSms:
    async def send(self, phone: str, code: str, minutes: int) -> None:
        raise ServiceUnavailable(service="sms", retry_after=60)

    async def close(self) -> None:
        """Nothing is held."""
