"""The cleanup of pictures: each is recorded when it is stored, and deleted when it need not be kept any longer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog

from actors.durations import DAY, HOUR
from actors.ports import Clock, ObjectStore
from actors.retention import purge_periodically
from actors.runtime import Actor
from actors.task.inputs import InputsInUse
from actors.task.media import owner_id
from actors.task.messages import RecordPictures
from actors.task.settings import TaskSettings
from storage.engine.database import Database
from storage.task import former_pictures, pictures
from storage.task.pictures import Picture

log = structlog.stdlib.get_logger("darkroom.task")

BATCH = 100


class PictureCleanup:
    """Handles RecordPictures, and Purge for the task actor."""

    def __init__(
        self,
        actor: Actor,
        db: Database,
        clock: Clock,
        store: ObjectStore,
        settings: TaskSettings,
        inputs: InputsInUse,
    ) -> None:
        self._db, self._clock, self._store, self._settings, self._inputs = db, clock, store, settings, inputs
        actor.on_batch((RecordPictures,), self._record)
        purge_periodically(actor, self._purge)

    async def _record(self, batch: Sequence[RecordPictures]) -> Sequence[None]:
        until = self._clock.now() + self._settings.unused_upload_hours * HOUR
        recorded = [Picture(key, each.user_id, size, until) for each in batch for key, size in each.pictures]
        await self._db.write(lambda connection: pictures.record(connection, recorded))
        return [None] * len(batch)

    async def _purge(self) -> None:
        if await self._db.read(former_pictures.are_unrecorded):
            await self._record_former()
        now, after = self._clock.now(), (0, "")
        while batch := await self._expired(now, after):
            after = batch[-1]
            await self._delete([key for _, key in batch])

    async def _expired(self, now: int, after: tuple[int, str]) -> Sequence[tuple[int, str]]:
        return await self._db.read(lambda connection: pictures.expired(connection, now, after, BATCH))

    async def _delete(self, keys: Sequence[str]) -> None:
        """Delete the pictures that no unfinished task needs: first the objects, then their rows."""
        with self._inputs.deleting(keys) as free:
            needed = await self._db.read(lambda connection: pictures.needed(connection, free))
            deleted = [key for key in free if key not in needed and await self._delete_object(key)]
            await self._db.write(lambda connection: pictures.remove(connection, deleted))

    async def _delete_object(self, key: str) -> bool:
        """Delete an object and return whether it is gone. One that cannot be deleted does not stop those behind it."""
        try:
            await self._store.delete(key)
        except OSError as fault:
            log.warning("a picture could not be deleted and will be tried again", key=key, fault=repr(fault))
            return False
        return True

    async def _record_former(self) -> None:
        """Record the pictures of a former version. They are kept as if their tasks had finished now."""
        until = self._clock.now() + self._settings.pictures_days * DAY
        log.info("recording the pictures of a former version")
        async for batch in self._store.objects():
            former = [Picture(key, owner_id(key), size, until) for key, size in batch]
            await self._db.write(partial(former_pictures.record, former=former))
        after: str | None = ""
        while after is not None:
            use = partial(former_pictures.use_by_tasks, after=after, limit=BATCH, keep_until=until)
            after = await self._db.write(use)
        await self._db.write(former_pictures.all_recorded)
