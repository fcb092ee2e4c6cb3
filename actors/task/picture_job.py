"""The work behind a picture task: out of the object store, through a picture worker, and back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from actors.ports import ObjectStore, PictureTemplate, PictureWorkers
from actors.task.media import result_key
from storage.task.tasks import Task


async def make_pictures(task: Task, store: ObjectStore, workers: PictureWorkers, folder: Path) -> list[str]:
    """The keys of the pictures that were made; unfinished ones live in `folder`.

    Raises PictureRefused, FileMissing, Overloaded, OSError.
    """
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name:
        source = Path(name) / f"input{Path(task.input_key).suffix}"
        await store.fetch(task.input_key, source)
        made = await workers.clean(source, Path(name), PictureTemplate(task.params["template"]))
        keys = [result_key(task.user_id, task.id, picture.name) for picture in made]
        for key, picture in zip(keys, made, strict=True):
            await store.put(key, picture)
        return keys
