"""Rules of the audit and the scans that check them.

A rule's statement checks one chunk: the ids from :low (inclusive) to :high (exclusive). It compares only what is
committed together, so it is correct in any snapshot: a balance with its user's entries, a task with its charge, a
failed task with its refund, a paid order with its grant.

Ids grow with time, as do the rows of tasks, orders and entries, so the rows of a chunk lie together on the disk. The
entries of one user do not, and no index leads to them: a chunk of users reads the whole ledger and sorts it, with
temporary files when it is large. So these chunks are large, too.

The rules count rows instead of trusting unique indexes, and they check the owner: a task's charge must be one of the
same user.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the audit.

    `name` is a sentence that must be true; `sql` finds its violations in a chunk; `message` formats them.
    """

    name: str
    sql: str
    message: str


@dataclass(frozen=True, slots=True)
class TableScan:
    """Rules over the same ids: those of `table`, in chunks of `chunk_rows` rows. `lowest` is below all ids."""

    noun: str
    table: str
    chunk_rows: int
    rules: tuple[Rule, ...]
    lowest: str | int = ""
