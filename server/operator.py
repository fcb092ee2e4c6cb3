"""What an operator does from the command line, whether or not a server runs on the data folder.

A data folder belongs to one process. So a server that runs carries the commands out itself: it listens on a socket in
the folder, which only its owner can open. Without one, the command takes the folder for a moment.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from actors.auth import Auth
from actors.auth_messages import (
    Ban,
    FindUser,
    ListAdmins,
    Role,
    RotateKeys,
    SetRole,
    Unban,
    Unlock,
)
from actors.auth_settings import AuthSettings, SendingLimits
from actors.errors import DomainError, PhoneInvalid, ServiceUnavailable, UserNotFound
from actors.phones import canonical
from actors.quota import Quota
from actors.tokens import Tokens
from server.clock import SystemClock
from server.http.errors import failure_of
from storage.database import CommitFailed, Database, StorageError
from storage.lock import FolderInUse
from storage.migrate import UnknownSchema

SOCKET = "operator.sock"
LONGEST_PATH = 100  # bytes, of the 104 to 108 that systems have room for in a socket's address
LINE_BYTES = 4096
SECONDS = 10

log = structlog.stdlib.get_logger("darkroom.operator")


class OperatorFailed(Exception):
    """The command could not be carried out; the message says why."""


async def carry_out(auth: Auth, command: str, phone: str = "") -> str:
    """What to tell the operator. Raises OperatorFailed."""
    try:
        return await _carried_out(auth, command, canonical(phone) if phone else "")
    except PhoneInvalid:
        raise OperatorFailed(f"{phone} is not a mainland China mobile number, such as 13800138000") from None
    except UserNotFound:
        raise OperatorFailed(f"nobody has logged in with {phone} yet") from None
    except (DomainError, StorageError, CommitFailed) as fault:
        raise OperatorFailed(failure_of(fault, english=True).message) from fault


async def _carried_out(auth: Auth, command: str, phone: str) -> str:
    match command:
        case "admin grant" | "admin revoke":
            user = await auth.ask(FindUser(phone))
            role = Role.ADMIN if command == "admin grant" else Role.USER
            await auth.ask(SetRole(user.id, role))
            return f"{phone} is {'an admin' if role is Role.ADMIN else 'no admin any more'}"
        case "admin list":
            return "\n".join(f"{admin.phone}  {admin.id}" for admin in await auth.ask(ListAdmins()))
        case "user ban":
            ended = await auth.ask(Ban((await auth.ask(FindUser(phone))).id))
            return f"{phone} is banned; {ended} sessions have ended"
        case "user unban":
            await auth.ask(Unban((await auth.ask(FindUser(phone))).id))
            return f"{phone} can log in again"
        case "user unlock":
            known = await auth.ask(Unlock(phone))
            return f"{phone} can try codes again" if known else f"no wrong codes were given for {phone}"
        case "keys rotate":
            key = await auth.ask(RotateKeys())
            return f"access tokens are signed with key {key} from now on"
        case _:
            raise OperatorFailed(f"this server knows no command {command!r}; it may be older than this program")


async def order(folder: Path, command: str, phone: str = "") -> str:
    """Have a command carried out on a data folder, by its server if one runs. Raises OperatorFailed."""
    if not (folder / "darkroom.sqlite3").is_file():
        raise OperatorFailed(f"there is no database in {folder}; give the server's --data or --config")
    answer = await _ask_server(folder, command, phone)
    if answer is not None:
        return answer
    async with _alone(folder) as auth:
        return await carry_out(auth, command, phone)


class OperatorDoor:
    """The server's end of the socket."""

    def __init__(self, folder: Path, auth: Auth) -> None:
        self._folder, self._auth = folder, auth
        self._listening: asyncio.Server | None = None

    async def open(self) -> None:
        path = _address(self._folder)
        try:
            Path(path).unlink(missing_ok=True)  # of a server that was killed: the folder's lock says that it is gone
            self._listening = await asyncio.start_unix_server(self._serve, path, limit=LINE_BYTES)
            Path(path).chmod(0o600)
        except OSError as fault:
            log.warning("operator's commands will need the server to be stopped", fault=str(fault), path=path)

    def close(self) -> None:
        if self._listening is not None:
            self._listening.close()  # who is still connected gets no answer; nobody waits for them
            with suppress(OSError):
                Path(_address(self._folder)).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever it was has gone, or spoke nonsense.
        with suppress(OSError, ValueError, TypeError, RecursionError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                asked = json.loads(await reader.readline())
                try:
                    answer = {"done": await carry_out(self._auth, str(asked["command"]), str(asked["phone"]))}
                except (OperatorFailed, KeyError) as fault:
                    answer = {"failed": str(fault)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()


async def _ask_server(folder: Path, command: str, phone: str) -> str | None:
    """What the folder's server answered; None where none runs. Raises OperatorFailed."""
    try:
        reader, writer = await asyncio.open_unix_connection(_address(folder), limit=LINE_BYTES)
    except OSError:
        return None
    try:
        async with asyncio.timeout(2 * SECONDS):
            writer.write(json.dumps({"command": command, "phone": phone}).encode() + b"\n")
            answer = json.loads(await reader.read())
    except (OSError, ValueError, TimeoutError):
        raise OperatorFailed("the server did not answer; look at its log, and whether the command was done") from None
    finally:
        writer.close()
    if "failed" in answer:
        raise OperatorFailed(answer["failed"])
    return str(answer["done"])


def _address(folder: Path) -> str:
    """Of the socket. A path that is too long for one may be short enough from where we are."""
    path = str(folder.resolve() / SOCKET)
    return path if len(os.fsencode(path)) <= LONGEST_PATH else os.path.relpath(path)


@asynccontextmanager
async def _alone(folder: Path) -> AsyncIterator[Auth]:
    """The auth actor of a folder that no server has. It sends nothing and signs nothing, so it needs no settings."""
    try:
        db = await Database.open(folder)
    except (FolderInUse, StorageError, UnknownSchema, OSError) as fault:
        raise OperatorFailed(str(fault)) from fault
    clock = SystemClock()
    quota = Quota(db, clock)
    auth = Auth(db, clock, quota, _NoSms(), Tokens(0, clock), "", AuthSettings("", SendingLimits(0, 0, 0, 0, 0, 0)))
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
