"""On a full disk everything the server confirmed still holds, and the process ends when a commit fails."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from tests.support.invariants import audit_stopped_server
from tests.support.pictures import shirt
from tests.support.process import ServerProcess, http_client, server_process
from tests.support.server import Api, ApiResponse, ApiUser

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limiting another process needs Linux")


def limit_file_size(server: ServerProcess, size: int) -> None:
    """Make every write of the server beyond `size` bytes fail, as on a full disk."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, hard))


async def test_a_failed_commit_is_answered_as_unknown_and_ends_the_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data, TASKS__WORKERS="0") as server:
            api = Api(server.base, http)
            member = await api.new_member()
            body = {"type": "basic_clean", "inputImageUrl": await api.upload(member, shirt())}
            limit_file_size(server, (data / "darkroom.sqlite3-wal").stat().st_size + 400_000)
            created, refused = await _create_until_refused(api, member, body)
            assert refused.refusal == (503, 9003) and refused.headers["Retry-After"]
            async with asyncio.timeout(30):
                await server.process.communicate()
            assert server.process.returncode == 1
        task_ids = await audit_stopped_server(data)
        assert created and set(created) <= task_ids
        async with server_process(data, TASKS__WORKERS="0") as server:
            assert await Api(server.base, http).remaining(member) == 100 - len(task_ids)


async def _create_until_refused(api: Api, member: ApiUser, body: dict[str, str]) -> tuple[list[str], ApiResponse]:
    created: list[str] = []
    while True:
        response = await api.post("/api/task/create", body, user=member)
        if response.status != 200:
            return created, response
        created.append(response.data["taskId"])


async def test_an_upload_on_a_full_disk_fails_without_blaming_the_picture(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http, server_process(data) as server:
        api = Api(server.base, http)
        user = await api.new_user()
        ticket = (await api.get("/api/media/sts?fileName=a.png", user=user)).data
        log_size = (data / "darkroom.sqlite3-wal").stat().st_size
        limit_file_size(server, log_size)
        padded = shirt() + bytes(log_size)
        assert (await api.put(ticket["uploadUrl"], raw=padded)).refusal == (503, 9003)
        assert list((data / "pictures" / "incoming").iterdir()) == []
        assert (await api.get("/health")).status == 200
