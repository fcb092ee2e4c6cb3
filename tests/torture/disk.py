"""A disk that obeys the test: it forgets at a power cut what was not synced, is slow to sync, fails when told to."""

from __future__ import annotations

import enum
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.torture.vfs import Proceed, default_vfs

SECTOR = 512  # bytes; what a drive writes whole or not at all


class Op(enum.Enum):
    OPEN = enum.auto()
    READ = enum.auto()
    WRITE = enum.auto()
    TRUNCATE = enum.auto()
    SYNC = enum.auto()
    DELETE = enum.auto()


class Trouble(enum.Enum):
    EIO = enum.auto()
    ENOSPC = enum.auto()


_FAILURES: dict[Trouble, dict[Op, int]] = {  # as SQLite's own VFS would report them
    Trouble.EIO: {
        Op.OPEN: sqlite3.SQLITE_CANTOPEN,
        Op.READ: sqlite3.SQLITE_IOERR_READ,
        Op.WRITE: sqlite3.SQLITE_IOERR_WRITE,
        Op.TRUNCATE: sqlite3.SQLITE_IOERR_TRUNCATE,
        Op.SYNC: sqlite3.SQLITE_IOERR_FSYNC,
        Op.DELETE: sqlite3.SQLITE_IOERR_DELETE,
    },
    Trouble.ENOSPC: {Op.WRITE: sqlite3.SQLITE_FULL},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """The `at`-th operation that this trouble concerns fails, counted from 1; with `lasting` all that follow, too."""

    trouble: Trouble
    at: int
    lasting: bool

    def __str__(self) -> str:
        return f"{self.trouble.name} at operation {self.at}{' and from then on' if self.lasting else ''}"


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.offset + len(self.data)] = self.data

    def torn(self, random: Random) -> Iterator[_Write]:
        """The sectors of it that reached the platter."""
        start = self.offset
        while start < self.offset + len(self.data):
            end = min(start - start % SECTOR + SECTOR, self.offset + len(self.data))
            if random.random() < 0.5:
                yield _Write(start, self.data[start - self.offset : end - self.offset])
            start = end


@dataclass(frozen=True, slots=True)
class _Truncate:
    size: int

    def apply(self, content: bytearray) -> None:
        del content[self.size :]


@dataclass(slots=True)
class _File:
    """What is on the platter, and what was written since. A new file's name is there for certain after a sync."""

    durable: bytearray
    named: bool
    unsynced: list[_Write | _Truncate] = field(default_factory=list)
    former: bytes | None = None  # of the deleted file whose name this one has taken


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
        self._files: dict[Path, _File] = {}
        self._deleted: dict[Path, bytes] = {}
        self._lock = threading.Lock()

    @contextmanager
    def in_use(self) -> Iterator[Disk]:
        with default_vfs(self):
            yield self

    def power_cut(self, random: Random) -> Image:
        """The files as they would be found after a power loss right now, by name.

        All that was synced is there; of the rest nothing, everything, some of the writes, or some sectors of some.
        """
        survive = random.choice([_nothing, _everything, _some, _some_torn])
        with self._lock:
            found = {path.name: _after_cut(file, survive, random) for path, file in self._files.items()}
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
                self._files[path] = _File(bytearray(before or b""), before is not None, former=former)
        return code

    def read(self, path: Path, proceed: Proceed) -> int:
        return self._begin(Op.READ) or proceed()

    def write(self, path: Path, offset: int, data: bytes, proceed: Proceed) -> int:
        return self._begin(Op.WRITE) or self._change(path, _Write(offset, data), proceed)

    def truncate(self, path: Path, size: int, proceed: Proceed) -> int:
        return self._begin(Op.TRUNCATE) or self._change(path, _Truncate(size), proceed)

    def sync(self, path: Path, proceed: Proceed) -> int:
        file = self._files[path]
        under_way = len(file.unsynced)
        if code := self._begin(Op.SYNC):
            with self._lock:  # Linux then takes the pages for clean: no later sync will write them
                del file.unsynced[:under_way]
            return code
        time.sleep(self._sync_seconds)  # the drive's own time
        with self._lock:
            for change in file.unsynced[:under_way]:
                change.apply(file.durable)
            del file.unsynced[:under_way]
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
        failures = {} if self._fault is None else _FAILURES[self._fault.trouble]
        if self._fault is None or operation not in failures:
            return sqlite3.SQLITE_OK
        with self._lock:
            self.concerned += 1
            fails = self.concerned >= self._fault.at if self._fault.lasting else self.concerned == self._fault.at
            self.faults += fails
        return failures[operation] if fails else sqlite3.SQLITE_OK

    def _change(self, path: Path, change: _Write | _Truncate, proceed: Proceed) -> int:
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


Changes = list[_Write | _Truncate]


def _after_cut(file: _File, survive: Callable[[Changes, Random], Changes], random: Random) -> bytes | None:
    if not file.named and random.random() < 0.5:
        return file.former
    content = bytearray(file.durable)
    for change in survive(file.unsynced, random):
        change.apply(content)
    return bytes(content)


def _nothing(changes: Changes, random: Random) -> Changes:
    return []


def _everything(changes: Changes, random: Random) -> Changes:
    return changes


def _some(changes: Changes, random: Random) -> Changes:
    chance = random.random()
    return [change for change in changes if random.random() < chance]


def _some_torn(changes: Changes, random: Random) -> Changes:
    kept: Changes = []
    for change in _some(changes, random):
        kept += change.torn(random) if isinstance(change, _Write) else [change]
    return kept
