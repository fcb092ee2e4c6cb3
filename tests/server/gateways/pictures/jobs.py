"""A pool for one test, and jobs that take exactly as long as the test wants.

A named pipe in the place of a photo keeps a worker busy until the test lets go of it: nothing here guesses at time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.drawings import corners, encoded, quadrants


@asynccontextmanager
async def running(processes: PictureProcesses) -> AsyncIterator[PictureProcesses]:
    await processes.start()
    try:
        yield processes
    finally:
        await processes.stop()


def picture(folder: Path) -> Path:
    path = folder / "photo.png"
    path.write_bytes(encoded(quadrants(), "PNG"))
    return path


class Stuck:
    """A job that reads a pipe to which nobody writes yet."""

    def __init__(self, processes: PictureProcesses, folder: Path) -> None:
        self._pipe = new_pipe(folder)
        self.job = asyncio.create_task(processes.admit(self._pipe, self._pipe.with_suffix(".png")))

    async def reading(self) -> BinaryIO:
        """The pipe's other end, when the worker has opened it."""
        return await opened(self._pipe)


def new_pipe(folder: Path) -> Path:
    pipe = folder / f"pipe-{len(list(folder.iterdir()))}"
    os.mkfifo(pipe)
    return pipe


async def opened(pipe: Path) -> BinaryIO:
    """The writing end of a pipe, when somebody has opened it to read."""
    return await asyncio.to_thread(pipe.open, "wb", 0)


async def works(processes: PictureProcesses, folder: Path) -> bool:
    target = folder / "works.png"
    await processes.admit(picture(folder), target)
    return corners(target) == ["red", "green", "blue", "white"]
