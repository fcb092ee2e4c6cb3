"""Report a task's status as an external worker does."""

from __future__ import annotations

import json

from actors.ports import Clock
from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from tests.support.server import SECRETS, Api, ApiResponse

_RESULT = "https://pictures.example/white-bg.png"


async def report_status(api: Api, clock: Clock, task_id: str, status: str, attempt: int | None = None) -> ApiResponse:
    path = f"/api/task/{task_id}/status"
    content = {"status": status, "resultUrls": [_RESULT]} | ({} if attempt is None else {"attempt": attempt})
    body = json.dumps(content).encode()
    timestamp = str(clock.now() // 1000)
    signature = sign(SECRETS["internal"].encode(), timestamp, "PUT", path, body)
    return await api.put(path, raw=body, headers={TIMESTAMP: timestamp, SIGNATURE: signature})
