"""A job over its limits and a process that dies each fail one job; the next job works."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image

from actors.errors import NotAnImage, Overloaded
from actors.ports import PictureRefused, PictureTemplate
from server.gateways.pictures import pool
from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.blocked_jobs import (
    BlockedJob,
    make_pipe,
    open_for_writing,
    pool_works,
    running_pool,
    write_photo,
)

SENDS_NO_JSON = (sys.executable, "-c", "print('ready', flush=True); input(); print('what?', flush=True); input()")
SENDS_ENDLESS_LINE = (
    sys.executable,
    "-c",
    "print('ready', flush=True); input(); [print('x' * 10**5, end='') for _ in iter(int, 1)]",
)
FAILS_TO_START = (sys.executable, "-c", "raise SystemExit(3)")


async def test_a_job_over_its_time_limit_is_killed_and_the_next_one_works(tmp_path: Path) -> None:
    async with running_pool(PictureProcesses(1, seconds=1.5)) as processes:
        blocked = BlockedJob(processes, tmp_path)
        with await blocked.wait_until_read():
            killed = processes.pids
            with pytest.raises(NotAnImage) as refusal:
                await blocked.task
        assert refusal.value.facts == {"problem": "unreadable"}
        assert await pool_works(processes, tmp_path)
        assert not set(killed) & set(processes.pids)
        with pytest.raises(PictureRefused, match="time_limit"):
            await processes.clean(make_pipe(tmp_path), tmp_path, PictureTemplate.ALL)


async def test_a_job_over_the_memory_limit_fails_and_the_next_one_works(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (7000, 5700), (90, 120, 150)).save(large, compress_level=1)
    async with running_pool(PictureProcesses(1, memory_bytes=640 * 1024**2)) as processes:
        with pytest.raises(PictureRefused, match="memory_limit"):
            await processes.clean(large, tmp_path, PictureTemplate.ALL)
        with pytest.raises(NotAnImage) as refusal:
            await processes.admit(large, tmp_path / "large.jpg")
        assert refusal.value.facts == {"problem": "unreadable"}
        assert await pool_works(processes, tmp_path)


async def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    async with running_pool(PictureProcesses(1)) as processes:
        pipe = make_pipe(tmp_path)
        job = asyncio.create_task(processes.clean(pipe, tmp_path, PictureTemplate.ALL))
        with await open_for_writing(pipe):
            (pid,) = processes.pids
            os.kill(pid, signal.SIGSEGV)  # as a fault in a decoder would
            with pytest.raises(PictureRefused, match="crashed"):
                await job
        assert await pool_works(processes, tmp_path)
        assert pid not in processes.pids


async def test_the_job_of_a_killed_process_is_retried_once(tmp_path: Path) -> None:
    """The operating system or an operator may have killed it: the first kill does not blame the picture."""
    async with running_pool(PictureProcesses(1)) as processes:
        pipe = make_pipe(tmp_path)
        job = asyncio.create_task(processes.clean(pipe, tmp_path, PictureTemplate.ALL))
        for _ in range(2):
            with await open_for_writing(pipe):
                (process,) = processes._alive
                os.kill(process.pid, signal.SIGKILL)
                await process.exited
        with pytest.raises(PictureRefused, match="memory_limit"):
            await job
        assert await pool_works(processes, tmp_path)


async def test_a_process_that_dies_between_jobs_fails_no_job(tmp_path: Path) -> None:
    async with running_pool(PictureProcesses(1)) as processes:
        assert await pool_works(processes, tmp_path)
        (idle,) = processes._alive
        os.kill(idle.pid, signal.SIGKILL)
        await idle.exited
        assert await pool_works(processes, tmp_path)


@pytest.mark.parametrize("command", [SENDS_NO_JSON, SENDS_ENDLESS_LINE])
async def test_a_process_that_breaks_the_protocol_is_replaced(tmp_path: Path, command: tuple[str, ...]) -> None:
    async with running_pool(PictureProcesses(1, command=command)) as processes:
        for _ in range(2):
            with pytest.raises(PictureRefused, match="crashed"):
                await processes.clean(write_photo(tmp_path), tmp_path, PictureTemplate.ALL)


async def test_a_job_whose_process_does_not_start_may_be_retried(tmp_path: Path) -> None:
    async with running_pool(PictureProcesses(1, command=FAILS_TO_START)) as processes:
        with pytest.raises(Overloaded):
            await processes.clean(write_photo(tmp_path), tmp_path, PictureTemplate.ALL)


async def test_a_process_is_replaced_after_its_maximum_of_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "JOBS_PER_PROCESS", 2)
    async with running_pool(PictureProcesses(1)) as processes:
        await pool_works(processes, tmp_path)
        first = processes.pids
        await pool_works(processes, tmp_path)
        await pool_works(processes, tmp_path)
        assert not set(first) & set(processes.pids)
