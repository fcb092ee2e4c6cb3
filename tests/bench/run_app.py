"""How the two servers that Darkroom is compared with are run: as Darkroom runs itself, on a free port."""

from __future__ import annotations

import socket

import uvloop
from aiohttp import web

from server.commands.serve import BACKLOG, READY


def run(app: web.Application) -> None:
    """Serve until SIGTERM; the first line of output says where."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        loop = uvloop.new_event_loop()
        web.run_app(
            app,
            sock=listening,
            access_log=None,
            backlog=BACKLOG,
            loop=loop,
            print=lambda _: print(f"{READY} {address}", flush=True),
        )
