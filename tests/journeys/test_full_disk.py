"""A disk that takes no more: whatever is answered still holds, and the process ends rather than guess."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from tests.journeys.test_crash import check_sums
from tests.support.pictures import shirt
from tests.support.process import ServerProcess, http_client, server_process
from tests.support.server import Api, ApiResponse, User

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limiting another process needs Linux")


def let_files_grow_to(server: ServerProcess, size: int) -> None:
    """From now on a write past `size` bytes fails in the server, as on a full disk."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, hard))


async def test_a_commit_that_fails_is_told_as_unknown_and_ends_the_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http:
        async with server_process(data, TASKS__WORKERS="0") as server:
            api = Api(server.base, http)
            member = await api.new_member()
            body = {"type": "basic_clean", "inputImageUrl": await api.upload(member, shirt())}
            let_files_grow_to(server, (data / "darkroom.sqlite3-wal").stat().st_size + 400_000)
            answered, refused = await _create_until_refused(api, member, body)
            assert refused.refusal == (503, 9003) and refused.headers["Retry-After"]
            async with asyncio.timeout(30):
                await server.process.communicate()
            assert server.process.returncode == 1
        kept = await check_sums(data)
        assert answered and set(answered) <= kept
        async with server_process(data, TASKS__WORKERS="0") as server:
            assert await Api(server.base, http).remaining(member) == 100 - len(kept)


async def _create_until_refused(api: Api, member: User, body: dict[str, str]) -> tuple[list[str], ApiResponse]:
    answered: list[str] = []
    while True:
        answer = await api.post("/api/task/create", body, user=member)
        if answer.status != 200:
            return answered, answer
        answered.append(answer.data["taskId"])


async def test_an_upload_that_finds_no_room_is_no_fault_of_the_picture(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with http_client() as http, server_process(data) as server:
        api = Api(server.base, http)
        person = await api.new_user()
        place = (await api.get("/api/media/sts?fileName=a.png", user=person)).data
        let_files_grow_to(server, (data / "darkroom.sqlite3-wal").stat().st_size)
        padded = shirt() + bytes(900_000)
        assert (await api.put(place["uploadUrl"], raw=padded)).refusal == (503, 9003)
        assert list((data / "pictures" / "incoming").iterdir()) == []
        assert (await api.get("/health")).status == 200
