"""Report a task's status as an external worker does."""

from __future__ import annotations

import json

from actors.ports import Clock
from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from tests.support.server import SECRETS, Api, ApiResponse

_RESULT = "https://pictures.example/white-bg.png"


async def report_status(api: Api, clock: Clock, task_id: str, status: str) -> ApiResponse:
    path = f"/api/task/{task_id}/status"
    body = json.dumps({"status": status, "resultUrls": [_RESULT]}).encode()
    timestamp = str(clock.now() // 1000)
    signature = sign(SECRETS["internal"].encode(), timestamp, "PUT", path, body)
    return await api.put(path, raw=body, headers={TIMESTAMP: timestamp, SIGNATURE: signature})
