"""The least an aiohttp server can do: read the body, answer JSON. `python -m tests.bench.bare ANSWERS`.

ANSWERS is a JSON file with what Darkroom answered to each call, so that fields and sizes are the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.bench.calls import Call
from tests.bench.run_app import run


def build_app(answers: dict[str, object]) -> web.Application:
    app = web.Application()
    app.router.add_post("/api/task/create", _always(answers[Call.CREATE.value]))
    app.router.add_get("/api/task/{taskId}", _always(answers[Call.READ.value]))
    app.router.add_get("/api/membership/status", _always(answers[Call.STATUS.value]))
    app.router.add_post("/api/auth/login", _always(answers[Call.LOGIN.value]))
    return app


def _always(answer: object) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response(answer)

    return handle


if __name__ == "__main__":
    run(build_app(json.loads(Path(sys.argv[1]).read_text())))
