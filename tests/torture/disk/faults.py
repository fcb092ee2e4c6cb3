"""The faults of a disk: which operation fails, and with which SQLite result code."""

from __future__ import annotations

import enum
import sqlite3
from dataclasses import dataclass


class Operation(enum.Enum):
    OPEN = enum.auto()
    READ = enum.auto()
    WRITE = enum.auto()
    TRUNCATE = enum.auto()
    SYNC = enum.auto()
    DELETE = enum.auto()


class FaultKind(enum.Enum):
    EIO = enum.auto()
    ENOSPC = enum.auto()


_FAILURES: dict[FaultKind, dict[Operation, int]] = {  # the codes that SQLite's own VFS reports
    FaultKind.EIO: {
        Operation.OPEN: sqlite3.SQLITE_CANTOPEN,
        Operation.READ: sqlite3.SQLITE_IOERR_READ,
        Operation.WRITE: sqlite3.SQLITE_IOERR_WRITE,
        Operation.TRUNCATE: sqlite3.SQLITE_IOERR_TRUNCATE,
        Operation.SYNC: sqlite3.SQLITE_IOERR_FSYNC,
        Operation.DELETE: sqlite3.SQLITE_IOERR_DELETE,
    },
    FaultKind.ENOSPC: {Operation.WRITE: sqlite3.SQLITE_FULL},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Lets the `at`-th operation that this kind can hit fail, counted from 1; if `lasting`, all later ones too."""

    kind: FaultKind
    at: int
    lasting: bool

    def code(self, operation: Operation) -> int | None:
        """Return SQLite's code for the failure of this operation, or None if this kind of fault cannot hit it."""
        return _FAILURES[self.kind].get(operation)

    def hits(self, number: int) -> bool:
        """Return whether the `number`-th operation that this kind can hit fails."""
        return number >= self.at if self.lasting else number == self.at

    def __str__(self) -> str:
        return f"{self.kind.name} at operation {self.at}{' and all later ones' if self.lasting else ''}"
