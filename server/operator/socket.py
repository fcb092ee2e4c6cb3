"""Both ends of the socket in a data folder, on which its server takes an operator's commands.

One line of JSON asks, `{"command", "phone"}`, and one answers, `{"done"}` or `{"failed"}`. Whoever can open the socket
could read the database as well, so there is no password.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path

import structlog

from actors.auth.actor import Auth
from server.operator.commands import OperatorFailed, carry_out

SOCKET = "operator.sock"
LONGEST_PATH = 100  # bytes, of the 104 to 108 that systems have room for in a socket's address
LINE_BYTES = 4096
SECONDS = 10

log = structlog.stdlib.get_logger("darkroom.operator")


class OperatorSocket:
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


async def ask_server(folder: Path, command: str, phone: str) -> str | None:
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
