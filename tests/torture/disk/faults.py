"""What goes wrong with a disk, at which operation, and how SQLite is told."""

from __future__ import annotations

import enum
import sqlite3
from dataclasses import dataclass


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

    def code(self, operation: Op) -> int | None:
        """SQLite's code for this operation failing, None where this trouble does not concern it."""
        return _FAILURES[self.trouble].get(operation)

    def hits(self, number: int) -> bool:
        """Whether the `number`-th operation concerned fails."""
        return number >= self.at if self.lasting else number == self.at

    def __str__(self) -> str:
        return f"{self.trouble.name} at operation {self.at}{' and from then on' if self.lasting else ''}"
