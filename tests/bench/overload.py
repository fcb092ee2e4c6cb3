"""Storm a Darkroom with more connections than it can serve: `python -m tests.bench.overload`.

64 connections first, for what it can do; then the prober alone, the storm, and the prober alone again. Exits with 1
when a target is missed, with 2 when it cannot measure.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.calls import Call, script, write_people
from tests.bench.members import PEOPLE, members
from tests.bench.overload_results import Storm
from tests.bench.prober import PATIENCE, Answer, read_answers
from tests.bench.procfs import resident_memory
from tests.bench.report import targets_table
from tests.bench.servers import DARKROOM, ROOT, Contenders, Running, ServerFailed, WrongSums
from tests.bench.wrk import Load, WrkFailed, WrkMissing, find_wrk, run_wrk

CONNECTIONS = 3000
SPARE_FILES = 500  # the prober's, the databases', and those of whoever runs this
SAMPLE_SECONDS = 0.2
CALM = 64


def storm(contenders: Contenders, folder: Path, people: Path, seconds: int) -> Storm:
    """Raises ServerFailed, WrongSums, WrkFailed. `people` is the file that scripts read."""
    connections = min(CONNECTIONS, _allow_files(CONNECTIONS + SPARE_FILES) - SPARE_FILES)
    with contenders.running(DARKROOM) as server:
        storming = _Storming(server, folder, people)
        storming.load(CALM, 1)
        calm = storming.load(CALM, max(3, seconds // 3))
        with _probing(server, people, folder / "answers.jsonl"):
            time.sleep(1)  # for the prober to connect
            quiet = time.monotonic()
            time.sleep(3)
            begun = time.monotonic()
            with _sampling(server.pid) as memory:
                load = storming.load(connections, seconds)
            ended = time.monotonic()
            time.sleep(3)
        server.check(storming.accepted)
    answers = read_answers(folder / "answers.jsonl")
    return Storm(
        connections,
        calm,
        load,
        before=_between(answers, quiet, begun),
        during=_between(answers, begun + 1, ended),  # once all are connected
        after=_between(answers, ended, ended + 1),
        memory=memory,
    )


class _Storming:
    """Creations by wrk, whose keys never repeat."""

    def __init__(self, server: Running, folder: Path, people: Path) -> None:
        self._server, self._script, self._people = server, folder / "storm.lua", people
        self._next = 0
        self.accepted = 0

    def load(self, connections: int, seconds: int) -> Load:
        self._script.write_text(script(Call.CREATE, self._people, self._next))
        load = run_wrk(self._script, self._server.base, connections, seconds)
        self._next += load.requests + load.late + load.broken + connections
        self.accepted += load.requests - load.refused
        return load


def _between(answers: Sequence[Answer], begin: float, end: float) -> list[Answer]:
    """Answers to what was asked in that time."""
    return [answer for answer in answers if begin <= answer.begun < end]


@contextmanager
def _probing(server: Running, people: Path, out: Path) -> Iterator[None]:
    command = [sys.executable, "-P", "-m", "tests.bench.prober", server.base, str(people), str(out)]
    prober = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        yield
        prober.send_signal(signal.SIGTERM)
        prober.wait(2 * PATIENCE)
    finally:
        prober.kill()
        prober.wait()


@contextmanager
def _sampling(pid: int) -> Iterator[list[int]]:
    """The process's resident memory, again and again until the block ends."""
    samples: list[int] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            samples.append(resident_memory(pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield samples
    finally:
        over.set()
        sampler.join()


def _allow_files(wanted: int) -> int:
    """How many files the processes started from here may have open: as many as wanted, if the system grants it."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted


def main() -> int:
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        find_wrk()
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="storm-") as name:
            folder = Path(name).resolve()
            people = members(PEOPLE)
            write_people(people, folder / "many.txt")
            stormy = storm(Contenders(folder, people, 0), folder, folder / "many.txt", options.seconds)
    except (WrkMissing, WrkFailed, ServerFailed, WrongSums) as fault:
        print(f"this is no measurement: {fault}", file=sys.stderr)
        return 2
    targets = stormy.targets()
    print(f"{stormy.section()}\n{targets_table(targets)}")
    return 0 if all(target.reached for target in targets) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Storm a Darkroom with more connections than it can serve.")
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="for the data; has to be on a disk")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
