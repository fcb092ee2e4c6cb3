"""A simulated disk: it loses unsynced writes at a power cut, can be slow to sync, and fails where a test wants it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.torture.disk.faults import Fault, Operation
from tests.torture.disk.image import SimulatedFile, Truncate, Write, random_survival
from tests.torture.disk.vfs import Proceed, default_vfs

DiskImage = dict[str, bytes]  # file contents by file name


class Disk:
    """The disk of all connections that are opened in `with disk.in_use():`. Files that exist before count as synced.

    A sync takes `sync_seconds` and does not reach the real disk, because this class decides what survives. `watch` is
    called before each operation, with its number, on the thread that SQLite runs on.
    """

    def __init__(
        self,
        *,
        sync_seconds: float = 0,
        fault: Fault | None = None,
        watch: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.intercepts_reads = fault is not None
        self.operations = 0
        self.eligible_operations = 0  # operations that the fault could have hit
        self.faults = 0
        self._sync_seconds, self._fault, self._watch = sync_seconds, fault, watch
        self._files: dict[Path, SimulatedFile] = {}
        self._deleted: dict[Path, bytes] = {}  # synced content of files whose deletion is not durable yet
        self._lock = threading.Lock()

    @contextmanager
    def in_use(self) -> Iterator[Disk]:
        with default_vfs(self):
            yield self

    def power_cut(self, random: Random) -> DiskImage:
        """Return the files as they would be after a power cut right now.

        Everything synced is there; what survives of the rest is random (see image.py).
        """
        survival = random_survival(random)
        with self._lock:
            contents = {path.name: file.content_after_cut(survival, random) for path, file in self._files.items()}
            contents |= {path.name: content for path, content in self._deleted.items() if random.random() < 0.5}
        return {name: content for name, content in contents.items() if content is not None}

    # --- the FileOperations of vfs.py ---

    def open(self, path: Path, proceed: Proceed) -> int:
        if code := self._begin(Operation.OPEN):
            return code
        with self._lock:
            existing = path.read_bytes() if path not in self._files and path.exists() else None
            code = proceed()
            if code == sqlite3.SQLITE_OK and path not in self._files:
                replaced = self._deleted.pop(path, None)
                content = bytearray(existing or b"")
                self._files[path] = SimulatedFile(content, existing is not None, replaced=replaced)
        return code

    def read(self, path: Path, proceed: Proceed) -> int:
        return self._begin(Operation.READ) or proceed()

    def write(self, path: Path, offset: int, data: bytes, proceed: Proceed) -> int:
        return self._begin(Operation.WRITE) or self._change(path, Write(offset, data), proceed)

    def truncate(self, path: Path, size: int, proceed: Proceed) -> int:
        return self._begin(Operation.TRUNCATE) or self._change(path, Truncate(size), proceed)

    def sync(self, path: Path, proceed: Proceed) -> int:
        file = self._files[path]
        pending = len(file.unsynced)
        if code := self._begin(Operation.SYNC):
            with self._lock:  # after a failed fsync, Linux marks the pages as clean: no later sync writes them
                file.discard(pending)
            return code
        time.sleep(self._sync_seconds)
        with self._lock:
            file.sync(pending)
            if not file.name_synced:
                self._sync_folder()
        return sqlite3.SQLITE_OK

    def _sync_folder(self) -> None:
        """Make names and deletions durable, as SQLite's own VFS does at the first sync of a new journal or log."""
        self._deleted.clear()
        for file in self._files.values():
            file.name_synced, file.replaced = True, None

    def delete(self, path: Path, proceed: Proceed) -> int:
        if code := self._begin(Operation.DELETE):
            return code
        with self._lock:
            code = proceed()
            file = self._files.pop(path, None)
            if file is not None and file.name_synced:
                self._deleted[path] = bytes(file.synced)
        return code

    def _begin(self, operation: Operation) -> int:
        """Return 0, or the result code with which the operation fails."""
        with self._lock:
            self.operations += 1
            number = self.operations
        self._watch(number)
        code = None if self._fault is None else self._fault.code(operation)
        if self._fault is None or code is None:
            return sqlite3.SQLITE_OK
        with self._lock:
            self.eligible_operations += 1
            fails = self._fault.hits(self.eligible_operations)
            self.faults += fails
        return code if fails else sqlite3.SQLITE_OK

    def _change(self, path: Path, change: Write | Truncate, proceed: Proceed) -> int:
        with self._lock:
            code = proceed()
            if code == sqlite3.SQLITE_OK:
                self._files[path].unsynced.append(change)
        return code


def write_image(image: DiskImage, folder: Path) -> None:
    """Write the files of an image into a new folder."""
    folder.mkdir(parents=True)
    for name, content in image.items():
        (folder / name).write_bytes(content)
