"""Run a server that Darkroom is compared with in the same way as Darkroom runs itself, on a free port."""

from __future__ import annotations

import socket

import uvloop
from aiohttp import web

from server.commands.serve import BACKLOG, READY_LINE


def run(app: web.Application) -> None:
    """Serve until SIGTERM. The first line of output holds the address."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        web.run_app(
            app,
            sock=listener,
            access_log=None,
            backlog=BACKLOG,
            loop=uvloop.new_event_loop(),
            print=lambda _: print(f"{READY_LINE} {address}", flush=True),
        )
