"""A pool for one test, and jobs that block until the test lets them continue.

The photo of such a job is a named pipe: the worker waits for it until the test writes or closes it. No test sleeps.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.images import corner_colours, quadrants
from tests.support.pictures import encode_image


@asynccontextmanager
async def running_pool(processes: PictureProcesses) -> AsyncIterator[PictureProcesses]:
    await processes.start()
    try:
        yield processes
    finally:
        await processes.stop()


def write_photo(folder: Path) -> Path:
    path = folder / "photo.png"
    path.write_bytes(encode_image(quadrants(), "PNG"))
    return path


class BlockedJob:
    """A job whose photo is a pipe, so that its worker blocks in reading."""

    def __init__(self, processes: PictureProcesses, folder: Path) -> None:
        self._pipe = make_pipe(folder)
        self.task = asyncio.create_task(processes.admit(self._pipe, self._pipe.with_suffix(".png")))

    async def wait_until_read(self) -> BinaryIO:
        """Wait until the worker has opened the pipe, and return the writing end."""
        return await open_for_writing(self._pipe)


def make_pipe(folder: Path) -> Path:
    pipe = folder / f"pipe-{len(list(folder.iterdir()))}"
    os.mkfifo(pipe)
    return pipe


async def open_for_writing(pipe: Path) -> BinaryIO:
    """Wait until a process has opened the pipe for reading, and return the writing end."""
    return await asyncio.to_thread(pipe.open, "wb", 0)


async def pool_works(processes: PictureProcesses, folder: Path) -> bool:
    """Admit a photo and return whether the result is right."""
    target = folder / "admitted.png"
    await processes.admit(write_photo(folder), target)
    return corner_colours(target) == ["red", "green", "blue", "white"]
