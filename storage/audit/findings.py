"""The audit: checks every rule over every row, in chunks, and collects the violations by rule."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from storage.audit.database_checks import (
    FILE_RULE,
    REFERENCES_RULE,
    TOTALS_RULE,
    check_file,
    check_references,
    check_totals,
)
from storage.audit.open import CannotAudit
from storage.audit.progress import ReportProgress
from storage.audit.rules.rule import TableScan
from storage.audit.rules.table_scans import TABLE_SCANS

MAX_VIOLATIONS = 100  # violations that a finding lists; the others are only counted
_NOT_THE_DATABASE = {  # errors that the database did not cause, such as a full disk under a sort's temporary files
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
    sqlite3.SQLITE_INTERRUPT,
}
_AFTER_ALL_IDS: bytes = b""  # SQLite sorts every BLOB after all numbers and TEXT


@dataclass(slots=True)
class Finding:
    """A rule that is violated, with a sentence for each of the first violations."""

    rule: str
    total: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, violation: str) -> None:
        self.total += 1
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(violation)


def audit(
    connection: sqlite3.Connection, report_progress: ReportProgress = lambda what, done, total: None
) -> list[Finding]:
    """Return the rules that this database violates. An empty list means that it is sound.

    The audit only reads, and its memory does not grow with the database. Each statement compares only what is committed
    together, so it is correct in its own snapshot. So an audit can run beside a server that writes, and no snapshot
    lasts longer than a chunk, the references of a table or the check of the file (a snapshot keeps the WAL from being
    reused). Inside a caller's transaction it uses that one snapshot. Raises CannotAudit when it cannot be finished.
    """
    findings: dict[str, Finding] = {}
    for rule, violation in _check_all(connection, report_progress):
        findings.setdefault(rule, Finding(rule)).add(violation)
    return list(findings.values())


def _check_all(connection: sqlite3.Connection, report_progress: ReportProgress) -> Iterator[tuple[str, str]]:
    """Yield (rule, violation) pairs. The file comes first, because its damage explains the violations after it."""
    yield from _reporting_damage(FILE_RULE, check_file(connection, report_progress))
    yield from _reporting_damage(REFERENCES_RULE, check_references(connection, report_progress))
    yield from _reporting_damage(TOTALS_RULE, check_totals(connection, report_progress))
    for scan in TABLE_SCANS:
        yield from _reporting_damage(f"all {scan.noun} can be read", _check_table(connection, scan, report_progress))


def _reporting_damage(rule: str, violations: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the violations, and one of `rule` when a statement fails because the database is damaged.

    Raises CannotAudit when a statement fails for another reason.
    """
    try:
        yield from violations
    except sqlite3.DatabaseError as fault:
        # Python raises errors of its own, without a code, for text that is not valid UTF-8.
        code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_OK)
        if code & 0xFF in _NOT_THE_DATABASE:
            raise CannotAudit(f"the audit could not be finished: {fault}") from fault
        yield rule, f"the check stopped early: {fault}"


def _check_table(
    connection: sqlite3.Connection, scan: TableScan, report_progress: ReportProgress
) -> Iterator[tuple[str, str]]:
    (rows,) = connection.execute(f"SELECT COUNT(*) FROM {scan.table}").fetchone()
    done = 0
    report_progress(scan.noun, done, rows)
    for low, high in _chunks(connection, scan):
        for rule in scan.rules:
            for row in connection.execute(rule.sql, {"low": low, "high": high}):
                yield rule.name, rule.message.format(*row)
        done = min(done + scan.chunk_rows, rows)
        report_progress(scan.noun, done, rows)
    report_progress(scan.noun, rows, rows)


def _chunks(connection: sqlite3.Connection, scan: TableScan) -> Iterator[tuple[str | int, str | int | bytes]]:
    """Yield ranges of ids, from `low` (inclusive) to `high` (exclusive), that cover all possible ids.

    So an entry of a user who does not exist is in one of them, too.
    """
    boundary = f"SELECT id FROM {scan.table} WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?"
    low = scan.lowest
    while row := connection.execute(boundary, (low, scan.chunk_rows)).fetchone():
        yield low, row[0]
        low = row[0]
    yield low, _AFTER_ALL_IDS
