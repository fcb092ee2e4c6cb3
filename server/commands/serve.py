"""The server process: its socket, its signals and its orderly end."""

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

from server.http.runner import ProductionRunner
from server.settings.model import Settings
from server.system import System

log = structlog.stdlib.get_logger("darkroom")

READY_LINE = "Darkroom is ready on"  # followed by the URL; programs that start the server wait for this line
MAX_FILES = 65_536  # open files, connections included
SWITCH_SECONDS = 0.0005  # after which the busy event loop lets a database thread run (docs/decisions/0010)
BACKLOG = 128  # asyncio accepts this many connections at once


class AddressInUse(Exception):
    """The server cannot listen on its address."""


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit status: 0 after an orderly end, 1 after a fault.

    Raises AddressInUse, CannotStart.
    """
    _allow_many_connections()
    sys.setswitchinterval(SWITCH_SECONDS)
    listening = _listen(settings.server.host, settings.server.port)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, listening))


async def _serve(settings: Settings, listening: socket.socket) -> int:
    stop_requested = _handle_signals()
    url = _local_url(settings.server.host, listening.getsockname()[1])
    system = await System.start(settings, settings.server.public_url or url)
    try:
        runner = ProductionRunner(system.app())
        try:
            await runner.setup()
            await web.SockSite(runner, listening, backlog=BACKLOG).start()
            _tune_garbage_collector()
            print(f"{READY_LINE} {url}", flush=True)
            return await _wait_for_end(stop_requested, system)
        finally:
            await runner.cleanup()
    finally:
        await system.stop()


def _tune_garbage_collector() -> None:
    """Collect less often, and never what was imported: requests leave almost no reference cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _handle_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set. It is called before anything starts that would have to stop."""
    stop_requested = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
    return stop_requested


async def _wait_for_end(stop_requested: asyncio.Event, system: System) -> int:
    stop, fault = asyncio.create_task(stop_requested.wait()), asyncio.create_task(system.failed())
    await asyncio.wait([stop, fault], return_when=asyncio.FIRST_COMPLETED)
    if fault.done():
        log.critical("the server ends because of a fault; the next start recovers", exc_info=fault.result())
        return 1
    fault.cancel()
    log.info("stopping: accepted requests are being finished")
    return 0


def _allow_many_connections() -> None:
    """Raise the soft limit on open files, usually 1,024, as far as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _listen(host: str, port: int) -> socket.socket:
    """Open the listening socket. Raises AddressInUse."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as fault:
        raise AddressInUse(f"cannot listen on {host}:{port}: {fault.strerror}; give another --port or --host") from None
    return listening


def _local_url(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # these are compared, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None
