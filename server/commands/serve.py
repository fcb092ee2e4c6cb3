"""The server process: a socket, a system, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import structlog
from aiohttp import web

from server.http.runner import EnvelopeRunner
from server.settings.model import Settings
from server.system import System

log = structlog.stdlib.get_logger("darkroom")

READY = "Darkroom is ready on"  # followed by the address: what waits for the server reads this line
FILES = 65_536  # open at a time, connections included
SWITCH_SECONDS = 0.0005  # how long the database's threads wait at most for a loop that always has something to do
BACKLOG = 128  # asyncio accepts as many at a time


class AddressInUse(Exception):
    """The port cannot be listened on."""


def run(config: Settings) -> int:
    """Serve until SIGTERM or SIGINT. The exit status: 0 after an orderly end, 1 after a fault.

    Raises AddressInUse, CannotStart.
    """
    _allow_many_connections()
    sys.setswitchinterval(SWITCH_SECONDS)
    listening = _listen(config.server.host, config.server.port)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config, listening))


async def _serve(config: Settings, listening: socket.socket) -> int:
    told = _told_to_stop()
    address = _address(config.server.host, listening.getsockname()[1])
    system = await System.start(config, config.server.public_url or address)
    try:
        runner = EnvelopeRunner(system.app())
        try:
            await runner.setup()
            await web.SockSite(runner, listening, backlog=BACKLOG).start()
            _collect_less_often()
            print(f"{READY} {address}", flush=True)
            return await _until(told, system)
        finally:
            await runner.cleanup()
    finally:
        await system.stop()


def _collect_less_often() -> None:
    """Requests leave nearly no cycles, and Python looks for them among all that was ever imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _told_to_stop() -> asyncio.Event:
    """Set by SIGTERM and SIGINT, from before anything is started that would have to be stopped."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def _until(told: asyncio.Event, system: System) -> int:
    stop, fault = asyncio.create_task(told.wait()), asyncio.create_task(system.failed())
    await asyncio.wait([stop, fault], return_when=asyncio.FIRST_COMPLETED)
    if fault.done():
        log.critical("the server ends after a fault, and will recover at its next start", exc_info=fault.result())
        return 1
    fault.cancel()
    log.info("stopping: what was accepted is being finished")
    return 0


def _allow_many_connections() -> None:
    """Use what the system grants: the usual soft limit of 1,024 files is few for connections."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(most, FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _listen(host: str, port: int) -> socket.socket:
    """Raises AddressInUse."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
    except OSError as fault:
        raise AddressInUse(f"cannot listen on {host}:{port}: {fault.strerror}; give another --port or --host") from None
    return listening


def _address(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None
