"""The long form of every torture suite, and of every control: `python -m tests.torture --seeds 20`."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.torture.suite import Report
from tests.torture.suites import (
    code_guessing,
    io_errors,
    kill_writers,
    overspending,
    power_cut,
    settle_once,
    simulation,
    sms_pumping,
    stop_under_load,
)


class Suite(Protocol):
    """See suite.py."""

    __name__: str
    NAME: str
    CONTROL: str

    def run(self, folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report: ...


SUITES: tuple[Suite, ...] = (
    kill_writers,
    power_cut,
    io_errors,
    stop_under_load,
    overspending,
    settle_once,
    code_guessing,
    sms_pumping,
    simulation,
)

CONTROL_SEEDS = 5  # a control that is not red by then proves nothing


@dataclass(slots=True)
class Result:
    """How a suite or a control went, over how many seeds."""

    suite: Suite
    broken: bool
    seeds: int = 0
    seconds: float = 0
    report: Report = field(default_factory=Report)

    @property
    def as_it_should_be(self) -> bool:
        return bool(self.report.violations) == self.broken

    @property
    def row(self) -> Sequence[str]:
        report, verdict = self.report, "" if self.as_it_should_be else " [red]✗[/red]"
        figures = (
            self.seeds,
            report.faults,
            report.checked,
            f"{len(report.violations)}{verdict}",
            f"{self.seconds:.0f}",
        )
        name = f"control: {self.suite.CONTROL}" if self.broken else self.suite.NAME
        return [name, *(f"{figure:,}" if isinstance(figure, int) else figure for figure in figures)]


def main() -> int:
    asked = _arguments()
    logging.disable(logging.CRITICAL)  # the product says a lot about what is done to it here
    suites = [suite for suite in SUITES if asked.only in (None, _name(suite))]
    seeds = range(asked.first, asked.first + asked.seeds)
    runs = [Result(suite, False) for suite in suites]
    if not asked.no_controls:
        runs += [Result(suite, True) for suite in suites]
    console = Console(width=None if sys.stdout.isatty() else 120)
    with _progress(console) as progress:
        for result in runs:
            _carry_out(result, seeds[:CONTROL_SEEDS] if result.broken else seeds, progress)
    _tell(runs, console)
    return 0 if all(result.as_it_should_be for result in runs) else 1


def _arguments() -> argparse.Namespace:
    names = [_name(suite) for suite in SUITES]
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="rounds of each suite (default 20)")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first seed: to replay a round")
    parser.add_argument("--only", choices=names, metavar="NAME", help=f"one suite: {', '.join(names)}")
    parser.add_argument("--no-controls", action="store_true", help="leave out the variants that must turn red")
    return parser.parse_args()


def _name(suite: Suite) -> str:
    """Of its module."""
    return suite.__name__.rpartition(".")[2]


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description:<60}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console)


def _carry_out(result: Result, seeds: Sequence[int], progress: Progress) -> None:
    """Seed by seed; a control needs to turn red only once."""
    line = progress.add_task(str(result.row[0]), total=len(seeds))
    for seed in seeds:
        began = time.monotonic()
        result.report.add(_one(result, seed))
        result.seconds += time.monotonic() - began
        result.seeds += 1
        progress.advance(line)
        if result.broken and result.report.violations:
            progress.update(line, completed=len(seeds))
            break


def _one(result: Result, seed: int) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="darkroom-torture-"))
    try:
        return result.suite.run(folder / "round", _rounds(result.suite, seed), broken=result.broken)
    except Exception:  # an hour of other rounds is not to be lost; for a control it is no proof
        print(traceback.format_exc(), file=sys.stderr)
        return Report(violations=[] if result.broken else [f"seed {seed}: the suite itself failed, see above"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rounds(suite: Suite, seed: int) -> Sequence[int]:
    """The suite's own seeds that this one stands for."""
    many: int = getattr(suite, "ROUNDS", 1)
    return range(seed * many, (seed + 1) * many)


def _tell(runs: Sequence[Result], console: Console) -> None:
    table = Table("suite")
    for heading in ("seeds", "faults injected", "answers checked", "violations", "seconds"):
        table.add_column(heading, justify="right")
    for before, result in zip([None, *runs], runs, strict=False):
        if result.broken and before is not None and not before.broken:
            table.add_section()
        table.add_row(*result.row)
    console.print(table)
    for result in runs:
        for violation in () if result.broken else result.report.violations:
            console.print(f"{result.suite.NAME}: {violation}", markup=False, highlight=False)
        if result.broken and not result.as_it_should_be:
            console.print(f"{result.suite.NAME}: its control did not turn red ({result.suite.CONTROL})", markup=False)


if __name__ == "__main__":
    sys.exit(main())
