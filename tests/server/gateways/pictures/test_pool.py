"""The life of the pool: starting late, waiting in bounds, cancelling, stopping."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
import uvloop

from actors.errors import NotAnImage, Overloaded
from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.drawings import encoded, quadrants
from tests.server.gateways.pictures.jobs import Stuck, new_pipe, opened, running, works

STARTS_FOR_EVER = (sys.executable, "-c", "import sys; open(sys.argv[1]).read()")
"""A worker that reads the pipe in its first argument instead of getting ready."""


async def test_processes_start_with_the_first_job_and_serve_again(tmp_path: Path) -> None:
    async with running(PictureProcesses(2)) as processes:
        assert processes.pids == []
        assert await works(processes, tmp_path)
        first = processes.pids
        assert len(first) == 1
        assert await works(processes, tmp_path)
        assert processes.pids == first


async def test_waiting_is_bounded(tmp_path: Path) -> None:
    async with running(PictureProcesses(1, waiting=1)) as processes:
        stuck = Stuck(processes, tmp_path)
        with await stuck.reading() as pipe:
            waiting = asyncio.create_task(works(processes, tmp_path))
            await asyncio.sleep(0)  # lets it take its place
            with pytest.raises(Overloaded) as refusal:
                await works(processes, tmp_path)
            assert refusal.value.facts["retry_after"] == 5
            pipe.write(encoded(quadrants(), "JPEG"))
        await stuck.job
        assert await waiting
        assert await works(processes, tmp_path)


async def test_a_cancelled_caller_does_not_mix_up_the_answers(tmp_path: Path) -> None:
    async with running(PictureProcesses(1)) as processes:
        stuck = Stuck(processes, tmp_path)
        with await stuck.reading():
            stuck.job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stuck.job
        with pytest.raises(NotAnImage):
            await processes.admit(Path(__file__), tmp_path / "no.png")
        assert await works(processes, tmp_path)


async def test_stop_ends_jobs_without_deciding_them_and_leaves_no_process(tmp_path: Path) -> None:
    processes = PictureProcesses(2)
    await processes.start()
    stuck = [Stuck(processes, tmp_path), Stuck(processes, tmp_path)]
    pipes = [await job.reading() for job in stuck]
    waiting = asyncio.create_task(works(processes, tmp_path))
    await asyncio.sleep(0)
    pids = processes.pids
    await processes.stop()
    for job in (stuck[0].job, stuck[1].job, waiting):
        with pytest.raises(Overloaded):
            await job
    assert len(pids) == 2
    assert processes.pids == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):  # reaped: a zombie could still be signalled
            os.kill(pid, 0)
    with pytest.raises(Overloaded):
        await works(processes, tmp_path)
    for pipe in pipes:
        pipe.close()


async def test_cancelled_while_a_process_starts(tmp_path: Path) -> None:
    pipe = new_pipe(tmp_path)
    async with running(PictureProcesses(1, waiting=0, command=(*STARTS_FOR_EVER, str(pipe)))) as processes:
        for _ in range(2):  # the second one finds the place free again
            job = asyncio.create_task(works(processes, tmp_path))
            with await opened(pipe):
                job.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await job
    assert processes.pids == []


async def test_stopped_while_a_process_starts(tmp_path: Path) -> None:
    pipe = new_pipe(tmp_path)
    processes = PictureProcesses(1, command=(*STARTS_FOR_EVER, str(pipe)))
    await processes.start()
    job = asyncio.create_task(works(processes, tmp_path))
    with await opened(pipe):
        await processes.stop()
        with pytest.raises(Overloaded):
            await job
    assert processes.pids == []


def test_under_uvloop(tmp_path: Path) -> None:
    async def life() -> None:
        async with running(PictureProcesses(1, seconds=1.5)) as processes:
            assert await works(processes, tmp_path)
            stuck = Stuck(processes, tmp_path)
            with await stuck.reading(), pytest.raises(NotAnImage):
                await stuck.job
            assert await works(processes, tmp_path)
            last = Stuck(processes, tmp_path)
            pipe = await last.reading()
        with pytest.raises(Overloaded):
            await last.job
        pipe.close()

    uvloop.run(life())
