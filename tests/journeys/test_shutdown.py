"""SIGTERM ends in order: what was accepted is finished, and the exit status is 0."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.pictures import shirt
from tests.support.process import http_client, server_process
from tests.support.server import Api


async def test_a_picture_under_way_is_finished_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data) as server:
            api = Api(server.base, http)
            member = await api.new_member()
            created = await api.create_task(member, await api.upload(member, shirt(1500)))
            task = await api.wait_for_status(member, created["taskId"], "processing", "success")
            assert task["status"] == "processing", "the end has to come while the picture is being made"
            assert await server.end(signal.SIGTERM) == 0
        async with server_process(data, TASKS__WORKERS="0") as server:
            task = await Api(server.base, http).wait_until_finished(member, created["taskId"])
            assert task["status"] == "success", "no worker runs now: it was finished before the end"


async def test_interrupting_by_hand_is_orderly_too(tmp_path: Path) -> None:
    async with server_process(tmp_path / "data") as server:
        assert await server.end(signal.SIGINT) == 0
