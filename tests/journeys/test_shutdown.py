"""SIGTERM ends in order: what was accepted is finished, and the exit status is 0."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path

import aiohttp

from tests.edge import Api
from tests.journeys.test_crash import check_sums
from tests.pictures import shirt
from tests.process import browsing, serving

PLENTY = json.dumps([{"id": "plenty", "name": "Plenty", "price": 1, "quota": 1_000_000, "days": 30}])


async def test_under_load_every_answer_holds_and_the_status_is_0(tmp_path: Path) -> None:
    data = tmp_path / "data"
    answered: list[str] = []
    async with browsing() as http:
        async with serving(data, TASKS__WORKERS="0", MEMBERSHIP__PLANS=PLENTY) as server:
            api = Api(server.base, http)
            member = await api.member()
            body = {"type": "basic_clean", "inputImageUrl": await api.uploaded(member, shirt())}
            enough = asyncio.Event()

            async def write() -> None:
                with suppress(aiohttp.ClientError):
                    while True:
                        answer = await api.post("/api/task/create", body, who=member)
                        assert answer.status in (200, 503)
                        if answer.status == 200:
                            answered.append(answer.data["taskId"])
                        if len(answered) >= 200:
                            enough.set()

            writers = asyncio.gather(*(write() for _ in range(16)))
            await enough.wait()
            assert await server.end(signal.SIGTERM) == 0
            await writers
        async with serving(data, TASKS__WORKERS="0") as server:
            api = Api(server.base, http)
            listed = (await api.get("/api/task/list?limit=1", who=member)).data
            assert listed["total"] == 1_000_000 - await api.remaining(member) >= len(answered) >= 200
    assert set(answered) <= await check_sums(data)


async def test_a_picture_under_way_is_finished_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with browsing() as http:
        async with serving(data) as server:
            api = Api(server.base, http)
            member = await api.member()
            created = await api.create(member, await api.uploaded(member, shirt(1500)))
            task = await api.reached(member, created["taskId"], "processing", "success")
            assert task["status"] == "processing", "the end has to come while the picture is being made"
            assert await server.end(signal.SIGTERM) == 0
        async with serving(data, TASKS__WORKERS="0") as server:
            task = await Api(server.base, http).finished(member, created["taskId"])
            assert task["status"] == "success", "no worker runs now: it was finished before the end"


async def test_interrupting_by_hand_is_orderly_too(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as server:
        assert await server.end(signal.SIGINT) == 0
