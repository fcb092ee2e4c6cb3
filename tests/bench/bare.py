"""The smallest aiohttp server: it reads the body and answers JSON. `python -m tests.bench.bare RESPONSES`.

RESPONSES is a JSON file with Darkroom's response to each call, so that fields and sizes are the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.bench.calls import MeasuredCall
from tests.bench.run_app import run


def build_app(responses: dict[str, object]) -> web.Application:
    app = web.Application()
    app.router.add_post("/api/task/create", _constant(responses[MeasuredCall.CREATE.value]))
    app.router.add_get("/api/task/{taskId}", _constant(responses[MeasuredCall.READ.value]))
    app.router.add_get("/api/membership/status", _constant(responses[MeasuredCall.STATUS.value]))
    app.router.add_post("/api/auth/login", _constant(responses[MeasuredCall.LOGIN.value]))
    return app


def _constant(response: object) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response(response)

    return handle


if __name__ == "__main__":
    run(build_app(json.loads(Path(sys.argv[1]).read_text())))
