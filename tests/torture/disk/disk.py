"""A disk that obeys the test: it forgets at a power cut what was not synced, is slow to sync, fails when told to."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.torture.disk.faults import Fault, Op
from tests.torture.disk.image import File, Truncate, Write, any_survival
from tests.torture.disk.vfs import Proceed, default_vfs

Image = dict[str, bytes]


class Disk:
    """Connections opened in `with disk.in_use():` live on it. Files that are there at first are taken for synced.

    A sync waits `sync_seconds`, and does not bother the real disk: what survives is decided here. `watch` is called
    with the number of each operation before it begins, on whatever thread SQLite runs.
    """

    def __init__(
        self,
        *,
        sync_seconds: float = 0,
        fault: Fault | None = None,
        watch: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.wants_reads = fault is not None
        self.operations = 0
        self.concerned = 0  # operations that the fault's trouble could have hit
        self.faults = 0
        self._sync_seconds, self._fault, self._watch = sync_seconds, fault, watch
        self._files: dict[Path, File] = {}
        self._deleted: dict[Path, bytes] = {}
        self._lock = threading.Lock()

    @contextmanager
    def in_use(self) -> Iterator[Disk]:
        with default_vfs(self):
            yield self

    def power_cut(self, random: Random) -> Image:
        """The files as they would be found after a power loss right now, by name.

        All that was synced is there; of the rest what chance has left (see platter.py).
        """
        survive = any_survival(random)
        with self._lock:
            found = {path.name: file.after_cut(survive, random) for path, file in self._files.items()}
            found |= {path.name: old for path, old in self._deleted.items() if random.random() < 0.5}
        return {name: content for name, content in found.items() if content is not None}

    # --- the Medium of vfs.py ---

    def open(self, path: Path, proceed: Proceed) -> int:
        if code := self._begin(Op.OPEN):
            return code
        with self._lock:
            before = path.read_bytes() if path not in self._files and path.exists() else None
            code = proceed()
            if code == sqlite3.SQLITE_OK and path not in self._files:
                former = self._deleted.pop(path, None)
                self._files[path] = File(bytearray(before or b""), before is not None, former=former)
        return code

    def read(self, path: Path, proceed: Proceed) -> int:
        return self._begin(Op.READ) or proceed()

    def write(self, path: Path, offset: int, data: bytes, proceed: Proceed) -> int:
        return self._begin(Op.WRITE) or self._change(path, Write(offset, data), proceed)

    def truncate(self, path: Path, size: int, proceed: Proceed) -> int:
        return self._begin(Op.TRUNCATE) or self._change(path, Truncate(size), proceed)

    def sync(self, path: Path, proceed: Proceed) -> int:
        file = self._files[path]
        under_way = len(file.unsynced)
        if code := self._begin(Op.SYNC):
            with self._lock:  # Linux then takes the pages for clean: no later sync will write them
                file.forget(under_way)
            return code
        time.sleep(self._sync_seconds)  # the drive's own time
        with self._lock:
            file.sync(under_way)
            if not file.named:
                self._sync_folder()
        return sqlite3.SQLITE_OK

    def _sync_folder(self) -> None:
        """SQLite's own VFS does so at the first sync of a new journal or log: names that went are gone for good."""
        self._deleted.clear()
        for file in self._files.values():
            file.named, file.former = True, None

    def delete(self, path: Path, proceed: Proceed) -> int:
        if code := self._begin(Op.DELETE):
            return code
        with self._lock:
            code = proceed()
            file = self._files.pop(path, None)
            if file is not None and file.named:
                self._deleted[path] = bytes(file.durable)
        return code

    def _begin(self, operation: Op) -> int:
        """0, or the code with which the operation fails."""
        with self._lock:
            self.operations += 1
            number = self.operations
        self._watch(number)
        code = None if self._fault is None else self._fault.code(operation)
        if self._fault is None or code is None:
            return sqlite3.SQLITE_OK
        with self._lock:
            self.concerned += 1
            fails = self._fault.hits(self.concerned)
            self.faults += fails
        return code if fails else sqlite3.SQLITE_OK

    def _change(self, path: Path, change: Write | Truncate, proceed: Proceed) -> int:
        with self._lock:
            code = proceed()
            if code == sqlite3.SQLITE_OK:
                self._files[path].unsynced.append(change)
        return code


def put(image: Image, folder: Path) -> None:
    """Write the files of an image into a new folder."""
    folder.mkdir(parents=True)
    for name, content in image.items():
        (folder / name).write_bytes(content)
