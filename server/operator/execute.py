"""Executing an operator's command on a data folder, whether or not a server runs on it.

A data folder belongs to one process. A running server therefore executes the commands itself; without a server, the
command opens the folder for a moment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from actors.auth.actor import Auth
from actors.auth.settings import AuthSecrets, AuthSettings
from actors.auth.tokens import Tokens
from actors.errors import ServiceUnavailable, StorageError
from actors.ports import Clock, ObjectStore, PictureTemplate
from actors.quota.actor import Quota
from actors.task.actor import Tasks
from actors.task.settings import TaskSettings
from server.operator.command import Actors, OperatorFailed
from server.operator.commands import OperatorRequest, check_request, run_command
from server.operator.socket import send_to_server
from storage.engine.database import Database
from storage.engine.lock import FolderInUse
from storage.engine.migrate import UnknownSchema


@dataclass(frozen=True, slots=True)
class Target:
    """A data folder. `open_store` returns its object store, and `tasks` are its settings; a server has its own.

    `clock` is the one by which a server of this folder writes its rows.
    """

    folder: Path
    clock: Clock
    open_store: Callable[[Path, Clock], ObjectStore]
    tasks: TaskSettings


async def execute(target: Target, request: OperatorRequest) -> str:
    """Execute a command on a data folder and return its output. Raises OperatorFailed."""
    check_request(request)
    if not (target.folder / "darkroom.sqlite3").is_file():
        raise OperatorFailed(f"there is no database in {target.folder}; give the server's --data or --config")
    output = await send_to_server(target.folder, request)
    if output is not None:
        return output
    async with _run_actors(target) as actors:
        return await run_command(actors, request)


@asynccontextmanager
async def _run_actors(target: Target) -> AsyncIterator[Actors]:
    """Run the actors of a folder without a server. They send and sign nothing, and carry out no tasks."""
    try:
        db = await Database.open(target.folder)
    except (FolderInUse, StorageError, UnknownSchema, OSError) as fault:
        raise OperatorFailed(str(fault)) from fault
    clock = target.clock
    quota = Quota(db, clock)
    auth = Auth(db, clock, quota, _NoSms(), Tokens(0, clock), AuthSecrets("", ""), AuthSettings())
    settings = target.tasks.model_copy(update={"workers": 0})
    store = target.open_store(target.folder, clock)
    tasks = Tasks(db, clock, quota, store, _NoPictures(), settings, target.folder / "work")
    try:
        await tasks.restore_turns()
        for actor in (quota, auth, tasks):
            actor.start(periodic=False)  # only the command is executed, none of a server's periodic work
        yield Actors(auth, tasks)
    finally:
        for actor in (tasks, auth, quota):
            await actor.stop()
        await db.close()


class _NoSms:
    """An SmsSender that sends nothing."""

    async def send(self, phone: str, code: str, minutes: int) -> None:
        raise ServiceUnavailable(service="sms", retry_after=60)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


class _NoPictures:
    """PictureWorkers that process nothing. They are never asked, because no task is carried out."""

    async def admit(self, source: Path, target: Path) -> None:
        raise ServiceUnavailable(service="pictures", retry_after=60)

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        raise ServiceUnavailable(service="pictures", retry_after=60)
