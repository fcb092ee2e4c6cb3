"""Both ends of the Unix socket in a data folder, through which a running server takes an operator's commands.

A request is one line of JSON, `{"command", "phone"}`, and so is the response, `{"done"}` or `{"failed"}`. There is no
password: a process that can open the socket could also read the database.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path

import structlog

from actors.auth.actor import Auth
from server.operator.commands import OperatorFailed, run_command

SOCKET = "operator.sock"
MAX_PATH_BYTES = 100  # systems allow 104 to 108 bytes in the address of a socket
MAX_LINE_BYTES = 4096
TIMEOUT_SECONDS = 10

log = structlog.stdlib.get_logger("darkroom.operator")


class OperatorSocket:
    """The server's end of the socket."""

    def __init__(self, folder: Path, auth: Auth) -> None:
        self._folder, self._auth = folder, auth
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. When that fails, the server runs without the socket and logs a warning."""
        path = _socket_path(self._folder)
        try:
            # A server that was killed leaves its socket. The lock on the folder shows that it does not run any more.
            Path(path).unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, path, limit=MAX_LINE_BYTES)
            Path(path).chmod(0o600)
        except OSError as fault:
            log.warning("the operator's commands work only while the server is stopped", fault=str(fault), path=path)

    def close(self) -> None:
        """Stop listening. Clients that are still connected get no response."""
        if self._server is not None:
            self._server.close()
            with suppress(OSError):
                Path(_socket_path(self._folder)).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The client may disconnect or send something that is not a request.
        with suppress(OSError, ValueError, TypeError, RecursionError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                request = json.loads(await reader.readline())
                try:
                    response = {"done": await run_command(self._auth, str(request["command"]), str(request["phone"]))}
                except (OperatorFailed, KeyError) as fault:
                    response = {"failed": str(fault)}
                writer.write(json.dumps(response).encode() + b"\n")
                await writer.drain()
        writer.close()


async def send_to_server(folder: Path, command: str, phone: str) -> str | None:
    """Let the server of a folder run a command. Return its output, or None when no server runs.

    Raises OperatorFailed.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(_socket_path(folder), limit=MAX_LINE_BYTES)
    except OSError:
        return None
    try:
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            writer.write(json.dumps({"command": command, "phone": phone}).encode() + b"\n")
            response = json.loads(await reader.read())
    except (OSError, ValueError, TimeoutError):
        raise OperatorFailed(
            "the server did not respond, so the command may or may not have been executed; look at the server's log"
        ) from None
    finally:
        writer.close()
    if "failed" in response:
        raise OperatorFailed(response["failed"])
    return str(response["done"])


def _socket_path(folder: Path) -> str:
    """Return the path of the socket: absolute, or relative to the current folder when that is too long for a socket."""
    path = str(folder.resolve() / SOCKET)
    return path if len(os.fsencode(path)) <= MAX_PATH_BYTES else os.path.relpath(path)
