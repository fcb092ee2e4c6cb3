"""The pool starts processes on demand, bounds its queue, and survives cancellation and stopping."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
import uvloop

from actors.errors import NotAnImage, Overloaded
from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.blocked_jobs import (
    BlockedJob,
    make_pipe,
    open_for_writing,
    pool_works,
    running_pool,
)
from tests.server.gateways.pictures.images import quadrants
from tests.support.pictures import encode_image

NEVER_READY = (sys.executable, "-c", "import sys; open(sys.argv[1]).read()")
"""A worker that reads the pipe in its first argument and never reports that it is ready."""


async def test_a_process_starts_with_the_first_job_and_is_reused(tmp_path: Path) -> None:
    async with running_pool(PictureProcesses(2)) as processes:
        assert processes.pids == []
        assert await pool_works(processes, tmp_path)
        first = processes.pids
        assert len(first) == 1
        assert await pool_works(processes, tmp_path)
        assert processes.pids == first


async def test_the_number_of_waiting_jobs_is_bounded(tmp_path: Path) -> None:
    async with running_pool(PictureProcesses(1, max_waiting=1)) as processes:
        blocked = BlockedJob(processes, tmp_path)
        with await blocked.wait_until_read() as pipe:
            waiting = asyncio.create_task(pool_works(processes, tmp_path))
            await asyncio.sleep(0)  # lets it start waiting
            with pytest.raises(Overloaded) as refusal:
                await pool_works(processes, tmp_path)
            assert refusal.value.facts["retry_after"] == 5
            pipe.write(encode_image(quadrants(), "JPEG"))
        await blocked.task
        assert await waiting
        assert await pool_works(processes, tmp_path)


async def test_the_result_of_a_cancelled_job_is_not_given_to_the_next_job(tmp_path: Path) -> None:
    async with running_pool(PictureProcesses(1)) as processes:
        blocked = BlockedJob(processes, tmp_path)
        with await blocked.wait_until_read():
            blocked.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await blocked.task
        with pytest.raises(NotAnImage):
            await processes.admit(Path(__file__), tmp_path / "no.png")
        assert await pool_works(processes, tmp_path)


async def test_stop_ends_jobs_with_overloaded_and_leaves_no_process(tmp_path: Path) -> None:
    processes = PictureProcesses(2)
    await processes.start()
    blocked = [BlockedJob(processes, tmp_path), BlockedJob(processes, tmp_path)]
    pipes = [await job.wait_until_read() for job in blocked]
    waiting = asyncio.create_task(pool_works(processes, tmp_path))
    await asyncio.sleep(0)
    pids = processes.pids
    await processes.stop()
    for job in (blocked[0].task, blocked[1].task, waiting):
        with pytest.raises(Overloaded):
            await job
    assert len(pids) == 2
    assert processes.pids == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):  # reaped: a zombie could still be signalled
            os.kill(pid, 0)
    with pytest.raises(Overloaded):
        await pool_works(processes, tmp_path)
    for pipe in pipes:
        pipe.close()


async def test_a_job_cancelled_while_its_process_starts_frees_its_slot(tmp_path: Path) -> None:
    pipe = make_pipe(tmp_path)
    async with running_pool(PictureProcesses(1, max_waiting=0, command=(*NEVER_READY, str(pipe)))) as processes:
        for _ in range(2):  # the second job needs the slot of the first one
            job = asyncio.create_task(pool_works(processes, tmp_path))
            with await open_for_writing(pipe):
                job.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await job
    assert processes.pids == []


async def test_stop_works_while_a_process_starts(tmp_path: Path) -> None:
    pipe = make_pipe(tmp_path)
    processes = PictureProcesses(1, command=(*NEVER_READY, str(pipe)))
    await processes.start()
    job = asyncio.create_task(pool_works(processes, tmp_path))
    with await open_for_writing(pipe):
        await processes.stop()
        with pytest.raises(Overloaded):
            await job
    assert processes.pids == []


def test_the_pool_works_under_uvloop(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_pool(PictureProcesses(1, seconds=1.5)) as processes:
            assert await pool_works(processes, tmp_path)
            blocked = BlockedJob(processes, tmp_path)
            with await blocked.wait_until_read(), pytest.raises(NotAnImage):
                await blocked.task
            assert await pool_works(processes, tmp_path)
            last = BlockedJob(processes, tmp_path)
            pipe = await last.wait_until_read()
        with pytest.raises(Overloaded):
            await last.task
        pipe.close()

    uvloop.run(scenario())
