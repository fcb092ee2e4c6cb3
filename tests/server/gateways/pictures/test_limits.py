"""The limits of a job and the deaths of a process: each costs one job, and the next one works."""

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
from tests.server.gateways.pictures.jobs import Stuck, new_pipe, opened, picture, running, works

SPEAKS_NONSENSE = (sys.executable, "-c", "print('ready', flush=True); input(); print('what?', flush=True); input()")
SPEAKS_WITHOUT_END = (
    sys.executable,
    "-c",
    "print('ready', flush=True); input(); [print('x' * 10**5, end='') for _ in iter(int, 1)]",
)
NEVER_STARTS = (sys.executable, "-c", "raise SystemExit(3)")


async def test_a_job_over_its_time_is_killed_and_the_next_one_works(tmp_path: Path) -> None:
    async with running(PictureProcesses(1, seconds=1.5)) as processes:
        stuck = Stuck(processes, tmp_path)
        with await stuck.reading():
            slow = processes.pids
            with pytest.raises(NotAnImage) as refusal:
                await stuck.job
        assert refusal.value.facts == {"problem": "unreadable"}
        assert await works(processes, tmp_path)
        assert not set(slow) & set(processes.pids)
        with pytest.raises(PictureRefused, match="time_limit"):
            await processes.clean(new_pipe(tmp_path), tmp_path, PictureTemplate.ALL)


async def test_the_memory_limit(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (7000, 5700), (90, 120, 150)).save(large, compress_level=1)
    async with running(PictureProcesses(1, memory_bytes=640 * 1024**2)) as processes:
        with pytest.raises(PictureRefused, match="memory_limit"):
            await processes.clean(large, tmp_path, PictureTemplate.ALL)
        with pytest.raises(NotAnImage) as refusal:
            await processes.admit(large, tmp_path / "large.jpg")
        assert refusal.value.facts == {"problem": "unreadable"}
        assert await works(processes, tmp_path)


async def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    async with running(PictureProcesses(1)) as processes:
        pipe = new_pipe(tmp_path)
        job = asyncio.create_task(processes.clean(pipe, tmp_path, PictureTemplate.ALL))
        with await opened(pipe):
            (pid,) = processes.pids
            os.kill(pid, signal.SIGSEGV)  # what a fault in a decoder does to it
            with pytest.raises(PictureRefused, match="crashed"):
                await job
        assert await works(processes, tmp_path)
        assert pid not in processes.pids


async def test_a_process_that_is_killed_gets_its_job_a_second_chance_and_no_third(tmp_path: Path) -> None:
    """The kernel without memory, or an operator: the first time says nothing about the picture."""
    async with running(PictureProcesses(1)) as processes:
        pipe = new_pipe(tmp_path)
        job = asyncio.create_task(processes.clean(pipe, tmp_path, PictureTemplate.ALL))
        for _ in range(2):
            with await opened(pipe):
                (process,) = processes._alive
                os.kill(process.pid, signal.SIGKILL)
                await process.gone
        with pytest.raises(PictureRefused, match="memory_limit"):
            await job
        assert await works(processes, tmp_path)


async def test_a_process_that_dies_between_jobs_costs_none(tmp_path: Path) -> None:
    async with running(PictureProcesses(1)) as processes:
        assert await works(processes, tmp_path)
        (idle,) = processes._alive
        os.kill(idle.pid, signal.SIGKILL)
        await idle.gone
        assert await works(processes, tmp_path)


@pytest.mark.parametrize("command", [SPEAKS_NONSENSE, SPEAKS_WITHOUT_END])
async def test_a_process_that_speaks_nonsense_is_replaced(tmp_path: Path, command: tuple[str, ...]) -> None:
    async with running(PictureProcesses(1, command=command)) as processes:
        for _ in range(2):
            with pytest.raises(PictureRefused, match="crashed"):
                await processes.clean(picture(tmp_path), tmp_path, PictureTemplate.ALL)


async def test_a_process_that_does_not_start_decides_nothing(tmp_path: Path) -> None:
    async with running(PictureProcesses(1, command=NEVER_STARTS)) as processes:
        with pytest.raises(Overloaded):
            await processes.clean(picture(tmp_path), tmp_path, PictureTemplate.ALL)


async def test_a_process_is_replaced_after_its_share_of_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "JOBS_PER_PROCESS", 2)
    async with running(PictureProcesses(1)) as processes:
        await works(processes, tmp_path)
        first = processes.pids
        await works(processes, tmp_path)
        await works(processes, tmp_path)
        assert not set(first) & set(processes.pids)
