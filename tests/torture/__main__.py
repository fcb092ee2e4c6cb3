"""Run every torture suite for many seeds, then every control: `python -m tests.torture --seeds 20`."""

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

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.torture.suite import Suite, SuiteReport
from tests.torture.suites import (
    code_guessing,
    io_errors,
    kill_writers,
    lifecycle_kills,
    overspending,
    power_cut,
    settle_once,
    simulation,
    sms_pumping,
    stop_under_load,
)

SUITES: tuple[Suite, ...] = (
    kill_writers,
    lifecycle_kills,
    power_cut,
    io_errors,
    stop_under_load,
    overspending,
    settle_once,
    code_guessing,
    sms_pumping,
    simulation,
)

CONTROL_SEEDS = 5  # a control that is not red after so many seeds has failed


@dataclass(slots=True)
class Result:
    """The result of a suite, or of its control (`mutant`), over a number of seeds."""

    suite: Suite
    mutant: bool
    seeds: int = 0
    seconds: float = 0
    report: SuiteReport = field(default_factory=SuiteReport)

    @property
    def passed(self) -> bool:
        """A suite passes without violations, its control with them."""
        return bool(self.report.violations) == self.mutant

    @property
    def row(self) -> Sequence[str]:
        report, mark = self.report, "" if self.passed else " [red]✗[/red]"
        return [
            f"control: {self.suite.CONTROL}" if self.mutant else self.suite.NAME,
            f"{self.seeds:,}",
            f"{report.faults:,}",
            f"{report.checked:,}",
            f"{len(report.violations)}{mark}",
            f"{self.seconds:.0f}",
        ]


def main() -> int:
    options = _parse_options()
    logging.disable(logging.CRITICAL)  # the product would log every injected fault
    suites = [suite for suite in SUITES if options.only in (None, module_name(suite))]
    seeds = range(options.first, options.first + options.seeds)
    results = [Result(suite, mutant=False) for suite in suites]
    if not options.no_controls:
        results += [Result(suite, mutant=True) for suite in suites]
    console = Console(width=None if sys.stdout.isatty() else 120)
    with _progress(console) as progress:
        for result in results:
            _run(result, seeds[:CONTROL_SEEDS] if result.mutant else seeds, progress)
    _print(results, console)
    return 0 if all(result.passed for result in results) else 1


def module_name(suite: Suite) -> str:
    """Return the name by which `--only` selects the suite."""
    return suite.__name__.rpartition(".")[2]


def _parse_options() -> argparse.Namespace:
    names = [module_name(suite) for suite in SUITES]
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="rounds of each suite (default 20)")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first seed, to repeat a round")
    parser.add_argument("--only", choices=names, metavar="NAME", help=f"run one suite: {', '.join(names)}")
    parser.add_argument("--no-controls", action="store_true", help="leave out the mutants that each suite has to find")
    return parser.parse_args()


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description:<60}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console)


def _run(result: Result, seeds: Sequence[int], progress: Progress) -> None:
    """Run seed by seed. A control ends with its first violation."""
    bar = progress.add_task(str(result.row[0]), total=len(seeds))
    for seed in seeds:
        start = time.monotonic()
        result.report.add(_run_seed(result, seed))
        result.seconds += time.monotonic() - start
        result.seeds += 1
        progress.advance(bar)
        if result.mutant and result.report.violations:
            progress.update(bar, completed=len(seeds))
            break


def _run_seed(result: Result, seed: int) -> SuiteReport:
    folder = Path(tempfile.mkdtemp(prefix="darkroom-torture-"))
    try:
        return result.suite.run(folder / "round", _suite_seeds(result.suite, seed), mutant=result.mutant)
    except Exception:  # other rounds go on; an exception does not count as a violation that the control found
        print(traceback.format_exc(), file=sys.stderr)
        return SuiteReport(violations=[] if result.mutant else [f"seed {seed}: the suite itself failed, see above"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _suite_seeds(suite: Suite, seed: int) -> Sequence[int]:
    """Return the seeds of the suite that this seed stands for (see suite.py)."""
    rounds: int = getattr(suite, "ROUNDS_PER_SEED", 1)
    return range(seed * rounds, (seed + 1) * rounds)


def _print(results: Sequence[Result], console: Console) -> None:
    table = Table("suite")
    for heading in ("seeds", "faults injected", "answers checked", "violations", "seconds"):
        table.add_column(heading, justify="right")
    for previous, result in zip([None, *results], results, strict=False):
        if result.mutant and previous is not None and not previous.mutant:
            table.add_section()
        table.add_row(*result.row)
    console.print(table)
    for result in results:
        for violation in () if result.mutant else result.report.violations:
            console.print(f"{result.suite.NAME}: {violation}", markup=False, highlight=False)
        if result.mutant and not result.passed:
            console.print(f"{result.suite.NAME}: its control found no violation ({result.suite.CONTROL})", markup=False)


if __name__ == "__main__":
    sys.exit(main())
