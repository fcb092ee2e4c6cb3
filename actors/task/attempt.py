"""An attempt at a task in this process: what the work of a task type can use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from actors.ports import ObjectStore, PictureWorkers
from actors.task.media import result_key
from storage.task.tasks import Task


class TaskRefused(Exception):
    """The task cannot succeed, however often it is tried. The HTTP layer has a text for each `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Busy(Exception):
    """What carries out the task has no capacity now. The task is put back, and this is not counted as an attempt."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"try again in {retry_after} s")
        self.retry_after = retry_after


class Attempt:
    """One attempt. `folder` is for unfinished pictures, and is deleted when the attempt ends."""

    def __init__(
        self,
        task: Task,
        folder: Path,
        store: ObjectStore,
        workers: PictureWorkers,
        report_stage: Callable[[int], Awaitable[None]],
        record: Callable[[Sequence[tuple[str, int]]], Awaitable[None]],
    ) -> None:
        self.task, self.folder, self.workers = task, folder, workers
        self._store, self._report_stage, self._record = store, report_stage, record
        self._stages_done = 0

    async def stage_done(self) -> None:
        """Report that one more stage of the type is done. The progress is stored, and never decreases."""
        self._stages_done += 1
        await self._report_stage(self._stages_done)

    async def fetch_input(self) -> Path:
        """Copy the input into `folder` and return its path. Raises FileMissing, OSError."""
        source = self.folder / f"input{Path(self.task.input_key).suffix}"
        await self._store.fetch(self.task.input_key, source)
        return source

    async def store(self, pictures: Sequence[Path]) -> list[str]:
        """Store result pictures under their file names, such as `white-bg.png`, and return their keys.

        Raises OSError.
        """
        keys = [result_key(self.task.user_id, self.task.id, picture.name) for picture in pictures]
        await self._record([(key, picture.stat().st_size) for key, picture in zip(keys, pictures, strict=True)])
        for key, picture in zip(keys, pictures, strict=True):
            await self._store.put(key, picture)
        return keys
