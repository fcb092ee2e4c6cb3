"""`darkroom verify`: audit a data folder and print the result."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from storage.audit.findings import Finding, audit
from storage.audit.open import CannotAudit, open_for_audit, read_ahead
from storage.audit.progress import ReportProgress
from storage.audit.row_counts import count_rows

SOUND, BROKEN, NOT_AUDITED = 0, 1, 2


def verify(folder: Path) -> int:
    """Print the violations, or what was checked. Return the exit status: SOUND, BROKEN or NOT_AUDITED."""
    try:
        with open_for_audit(folder) as connection:
            with _progress() as report_progress:
                read_ahead(folder, report_progress)
                findings = audit(connection, report_progress)
            return _print_findings(folder, findings) if findings else _print_row_counts(folder, connection)
    except CannotAudit as fault:
        click.echo(f"darkroom: {fault}", err=True)
        return NOT_AUDITED
    except sqlite3.DatabaseError as fault:  # the schema itself cannot be read
        return _print_findings(folder, [Finding("the file can be read", 1, [str(fault)])])


def _print_row_counts(folder: Path, connection: sqlite3.Connection) -> int:
    rows = count_rows(connection)
    checked = f"{rows.users:,} users, {rows.entries:,} ledger entries, {rows.tasks:,} tasks and {rows.orders:,} orders"
    click.echo(f"{folder} is sound: checked {checked}")
    return SOUND


def _print_findings(folder: Path, findings: list[Finding]) -> int:
    for finding in findings:
        click.echo(f"violated rule: {finding.rule} (violations: {finding.total:,})")
        for violation in finding.violations:
            click.echo(f"  {violation}")
        if finding.total > len(finding.violations):
            click.echo(f"  and {finding.total - len(finding.violations):,} more")
    click.echo(f"darkroom: {folder} is not sound (violated rules: {len(findings)})", err=True)
    return BROKEN


@contextmanager
def _progress() -> Iterator[ReportProgress]:
    """Show a progress bar for each part of the audit when stderr is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<15}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bars = {}

        def report_progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total or None)

        yield report_progress
