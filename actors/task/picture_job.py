"""The work of a picture task: fetch the input, have a picture worker clean it, store the results."""

from __future__ import annotations

import tempfile
from pathlib import Path

from actors.ports import ObjectStore, PictureTemplate, PictureWorkers
from actors.task.media import result_key
from storage.task.tasks import Task


async def make_pictures(task: Task, store: ObjectStore, workers: PictureWorkers, folder: Path) -> list[str]:
    """Make the pictures of a task and return their keys. Unfinished pictures lie in `folder`.

    Raises PictureRefused, FileMissing, Overloaded, OSError.
    """
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name:
        source = Path(name) / f"input{Path(task.input_key).suffix}"
        await store.fetch(task.input_key, source)
        pictures = await workers.clean(source, Path(name), PictureTemplate(task.params["template"]))
        keys = [result_key(task.user_id, task.id, picture.name) for picture in pictures]
        for key, picture in zip(keys, pictures, strict=True):
            await store.put(key, picture)
        return keys
