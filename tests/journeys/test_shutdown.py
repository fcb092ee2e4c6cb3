"""After SIGTERM the server finishes what it has accepted and exits with status 0."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.pictures import shirt
from tests.support.process import http_client, server_process
from tests.support.server import Api


async def test_a_picture_in_progress_is_finished_before_the_server_ends(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data) as server:
            api = Api(server.base, http)
            member = await api.new_member()
            created = await api.create_task(member, await api.upload(member, shirt(1000)))
            task = await api.wait_for_status(member, created["taskId"], "processing", "success")
            assert task["status"] == "processing", "the signal must come while the picture is in progress"
            assert await server.end(signal.SIGTERM) == 0
        async with server_process(data, TASKS__WORKERS="0") as server:
            task = await Api(server.base, http).wait_until_finished(member, created["taskId"])
            assert task["status"] == "success", "no worker runs now, so the task was finished before the server ended"


async def test_sigint_also_ends_the_server_with_status_0(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server:
        assert await server.end(signal.SIGINT) == 0
