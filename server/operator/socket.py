"""Both ends of the Unix socket in a data folder, through which a running server takes an operator's commands.

A request is one line of JSON, `{"command", "arguments", "json"}`. So is the response: `{"done", "json"}` with the
output, or `{"failed"}` with the reason. There is no password: a process that can open the socket could also read the
database.

A former version knew `{"command", "phone"}` and `{"done"}` only. Both ends understand it, so that a server need not be
stopped before the program is updated.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from server.operator.command import Actors, OperatorFailed
from server.operator.commands import OperatorRequest, run_command

SOCKET = "operator.sock"
MAX_PATH_BYTES = 100  # systems allow 104 to 108 bytes in the address of a socket
MAX_LINE_BYTES = 4096
TIMEOUT_SECONDS = 10

log = structlog.stdlib.get_logger("darkroom.operator")


class OperatorSocket:
    """The server's end of the socket."""

    def __init__(self, folder: Path, actors: Actors) -> None:
        self._folder, self._actors = folder, actors
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
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                request = _to_request(json.loads(await reader.readline()))
                response = await self._respond(request)
                writer.write(json.dumps(response).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _respond(self, request: OperatorRequest) -> dict[str, str | bool]:
        try:
            return {"done": await run_command(self._actors, request), "json": request.as_json}
        except OperatorFailed as fault:
            return {"failed": str(fault)}
        except Exception:
            log.exception("a command of the operator failed", command=request.command)
            return {"failed": "the command failed by an error of this program; the server's log has the details"}


async def send_to_server(folder: Path, request: OperatorRequest) -> str | None:
    """Let the server of a folder run a command. Return its output, or None when no server runs.

    Raises OperatorFailed.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(_socket_path(folder), limit=MAX_LINE_BYTES)
    except OSError:
        return None
    try:
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            writer.write(_to_line(request))
            output = _output(json.loads(await reader.read()), request)
    except (OSError, ValueError, TypeError, KeyError, TimeoutError):
        raise OperatorFailed(
            "the server did not respond, so the command may or may not have been executed; look at the server's log"
        ) from None
    finally:
        writer.close()
    return output


def _to_line(request: OperatorRequest) -> bytes:
    """Return the line for a request. It has the phone twice, because a server of a former version needs it there."""
    former = {"phone": request.arguments.get("phone", "")}
    line = {"command": request.command, "arguments": request.arguments, "json": request.as_json, **former}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _to_request(line: Any) -> OperatorRequest:
    """Read the line of a request, also of a former version. Raises ValueError, TypeError, KeyError."""
    if not isinstance(line, dict):
        raise ValueError("a request is an object")
    former = {"phone": line["phone"]} if line.get("phone") else {}
    return OperatorRequest(str(line["command"]), dict(line.get("arguments", former)), bool(line.get("json", False)))


def _output(response: dict[str, Any], request: OperatorRequest) -> str:
    """Return the output in a response. Raises OperatorFailed."""
    if "failed" in response:
        raise OperatorFailed(str(response["failed"]))
    output = str(response["done"])
    if request.as_json and not response.get("json"):
        raise OperatorFailed(f"the command was carried out, but this server is too old for --json; it says: {output}")
    return output


def _socket_path(folder: Path) -> str:
    """Return the path of the socket: absolute, or relative to the current folder when that is too long for a socket."""
    path = str(folder.resolve() / SOCKET)
    return path if len(os.fsencode(path)) <= MAX_PATH_BYTES else os.path.relpath(path)
