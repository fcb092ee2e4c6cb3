"""The audit: every rule over every row, in chunks, with what it finds gathered by rule."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from storage.audit.open import CannotAudit
from storage.audit.rules import WALKS, Walk
from storage.audit.whole import FILE, REFERENCES, TOTALS, Tell, broken_references, damage, wrong_totals

SHOWN = 100  # offenders that a finding names; the others are only counted
_NOT_THE_DATABASE = {  # faults that say nothing against it, such as a full disk under the temporary files of a sort
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
    sqlite3.SQLITE_INTERRUPT,
}
_LAST: bytes = b""  # SQLite sorts every BLOB above all numbers and TEXT: no id is beyond this one


@dataclass(slots=True)
class Finding:
    """A rule that does not hold, with a sentence for each of the first offenders."""

    rule: str
    total: int = 0
    offenders: list[str] = field(default_factory=list)

    def add(self, offender: str) -> None:
        self.total += 1
        if len(self.offenders) < SHOWN:
            self.offenders.append(offender)


def audit(connection: sqlite3.Connection, tell: Tell = lambda what, done, of: None) -> list[Finding]:
    """Every rule that does not hold in this database; an empty list says that it is sound.

    Reads only, in memory that does not grow with the database. Each statement is right in a snapshot of its own, since
    whatever it compares was committed together: so an audit may run beside a server that writes, and no snapshot (which
    keeps the WAL from being used anew) lasts longer than a chunk, a table's references or the check of the file. Inside
    a transaction of the caller's it runs over that one snapshot. Raises CannotAudit when it could not be finished.
    """
    findings: dict[str, Finding] = {}
    for rule, offender in _all(connection, tell):
        findings.setdefault(rule, Finding(rule)).add(offender)
    return list(findings.values())


def _all(connection: sqlite3.Connection, tell: Tell) -> Iterator[tuple[str, str]]:
    """(rule, offender) of all that is wrong: the file first, since damage there explains what comes after it."""
    yield from _readable(FILE, damage(connection, tell))
    yield from _readable(REFERENCES, broken_references(connection, tell))
    yield from _readable(TOTALS, wrong_totals(connection, tell))
    for walk in WALKS:
        yield from _readable(f"all {walk.noun} can be read", _walk(connection, walk, tell))


def _readable(rule: str, found: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What was found, and that no more could be: in a damaged database any statement may fail. Raises CannotAudit."""
    try:
        yield from found
    except sqlite3.DatabaseError as fault:
        code = getattr(
            fault, "sqlite_errorcode", sqlite3.SQLITE_OK
        )  # Python's own, of text that is no UTF-8, have none
        if code & 0xFF in _NOT_THE_DATABASE:
            raise CannotAudit(f"the audit could not be finished: {fault}") from fault
        yield rule, f"the check ended early: {fault}"


def _walk(connection: sqlite3.Connection, walk: Walk, tell: Tell) -> Iterator[tuple[str, str]]:
    (rows,) = connection.execute(f"SELECT COUNT(*) FROM {walk.table}").fetchone()
    done = 0
    tell(walk.noun, done, rows)
    for low, high in _chunks(connection, walk):
        for rule in walk.rules:
            for row in connection.execute(rule.sql, {"low": low, "high": high}):
                yield rule.promise, rule.tells.format(*row)
        done = min(done + walk.step, rows)
        tell(walk.noun, done, rows)
    tell(walk.noun, rows, rows)


def _chunks(connection: sqlite3.Connection, walk: Walk) -> Iterator[tuple[str | int, str | int | bytes]]:
    """Ranges of ids, each from `low` up to but without `high`, that cover all there can be.

    So an entry of somebody who does not exist is in one of them, too.
    """
    boundary = f"SELECT id FROM {walk.table} WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?"
    low = walk.lowest
    while row := connection.execute(boundary, (low, walk.step)).fetchone():
        yield low, row[0]
        low = row[0]
    yield low, _LAST
