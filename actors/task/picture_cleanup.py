"""The cleanup of pictures: each is recorded when it is stored, and deleted when it need not be kept any longer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import structlog

from actors.durations import DAY, HOUR
from actors.errors import Overloaded
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

    async def _record(self, batch: Sequence[RecordPictures]) -> Sequence[object]:
        """Record pictures. One that is being deleted at this moment can be stored in a second."""
        free = [not any(self._inputs.is_being_deleted(key) for key, _ in each.pictures) for each in batch]
        until = self._clock.now() + self._settings.unused_upload_hours * HOUR
        recorded = [
            Picture(key, each.user_id, size, until)
            for each, is_free in zip(batch, free, strict=True)
            for key, size in each.pictures
            if is_free
        ]
        if recorded:
            await self._db.write(lambda connection: pictures.record(connection, recorded))
        return [None if is_free else Overloaded(retry_after=1) for is_free in free]

    async def _purge(self) -> None:
        await self._record_former_once()
        now, after = self._clock.now(), (0, "")
        while batch := await self._expired(now, after):
            after = batch[-1]
            await self._delete(await self._deletable([key for _, key in batch], now), now)

    async def _expired(self, now: int, after: tuple[int, str]) -> Sequence[tuple[int, str]]:
        return await self._db.read(lambda connection: pictures.expired(connection, now, after, BATCH))

    async def _deletable(self, keys: Collection[str], now: int) -> list[str]:
        return await self._db.read(lambda connection: pictures.deletable(connection, keys, now))

    async def _delete(self, keys: Collection[str], now: int) -> None:
        """Delete pictures, first the objects and then their rows.

        From here on no new task can use them and none of them can be stored. What happened before is asked for again.
        """
        with self._inputs.deleting(keys) as free:
            deletable = await self._deletable(free, now)
            deleted = [key for key in deletable if await self._delete_object(key)]
            if deleted:
                await self._db.write(lambda connection: pictures.remove(connection, deleted, now))

    async def _delete_object(self, key: str) -> bool:
        """Delete an object and return whether it is gone. One that cannot be deleted does not stop those behind it."""
        try:
            await self._store.delete(key)
        except Exception as fault:
            log.error("a picture could not be deleted and will be tried again", key=key, exc_info=fault)
            return False
        return True

    async def _record_former_once(self) -> None:
        """Record the pictures of a former version, if there are any. A failure does not stop the cleanup."""
        try:
            if await self._db.read(former_pictures.are_unrecorded):
                await self._record_former()
        except Exception as fault:
            log.error("the pictures of a former version could not be recorded yet", exc_info=fault)

    async def _record_former(self) -> None:
        """Record the pictures of a former version. They are kept as if their tasks had finished now."""
        now = self._clock.now()
        until = now + self._settings.pictures_days * DAY
        log.info("recording the pictures of a former version")
        async for batch in self._store.objects():
            former = [Picture(key, owner_id(key), size, until) for key, size in batch]
            await self._db.write(partial(former_pictures.record, former=former))
        after: str | None = ""
        while after is not None:
            use = partial(former_pictures.use_by_tasks, after=after, limit=BATCH, now=now, keep_until=until)
            after = await self._db.write(use)
        await self._db.write(former_pictures.all_recorded)
