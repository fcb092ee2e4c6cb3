"""`darkroom verify`: the audit of a data folder, for people."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from storage.audit import CannotAudit, Finding, Tell, audit, extent, opened, read_ahead

SOUND, BROKEN, NOT_AUDITED = 0, 1, 2


def verify(folder: Path) -> int:
    """Print what is broken, or how much was checked. The exit status: SOUND, BROKEN or NOT_AUDITED."""
    try:
        with opened(folder) as connection:
            with _progress() as tell:
                read_ahead(folder, tell)
                findings = audit(connection, tell)
            return _broken(folder, findings) if findings else _sound(folder, connection)
    except CannotAudit as fault:
        click.echo(f"darkroom: {fault}", err=True)
        return NOT_AUDITED
    except sqlite3.DatabaseError as fault:  # not even its schema can be read
        return _broken(folder, [Finding("the file can be read", 1, [str(fault)])])


def _sound(folder: Path, connection: sqlite3.Connection) -> int:
    e = extent(connection)
    what = f"{e.people:,} people, {e.entries:,} ledger entries, {e.tasks:,} tasks and {e.orders:,} orders"
    click.echo(f"{folder}: checked {what}: sound")
    return SOUND


def _broken(folder: Path, findings: list[Finding]) -> int:
    for finding in findings:
        click.echo(f"broken: {finding.rule} ({finding.total:,} found)")
        for offender in finding.offenders:
            click.echo(f"  {offender}")
        if finding.total > len(finding.offenders):
            click.echo(f"  and {finding.total - len(finding.offenders):,} more")
    click.echo(f"darkroom: {folder} is not sound: {len(findings)} of its rules do not hold", err=True)
    return BROKEN


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar for each part of the audit, where somebody is watching."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<15}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bars = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=of or None)

        yield tell
