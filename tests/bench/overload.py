"""Send Darkroom more load than it can serve: `python -m tests.bench.overload`.

First 64 connections show its normal rate. Then the prober runs alone, during the overload, and alone again. Exits with
1 when a target is missed, and with 2 when it cannot measure.
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

from tests.bench.calls import MeasuredCall, write_members_file, wrk_script
from tests.bench.members import MEMBER_COUNT, create_members
from tests.bench.overload_results import NORMAL_CONNECTIONS, OverloadResults
from tests.bench.prober import TIMEOUT_SECONDS, ProbeResult, read_results
from tests.bench.procfs import resident_memory
from tests.bench.report import targets_table
from tests.bench.servers import DARKROOM, ROOT, BenchServers, RunningServer, ServerFailed, WrongSums
from tests.bench.wrk import Load, WrkFailed, WrkMissing, find_wrk, run_wrk

CONNECTIONS = 3000
SPARE_FILES = 500  # open files of the prober, of the databases and of this process
SAMPLE_SECONDS = 0.2


def measure_overload(servers: BenchServers, folder: Path, members_file: Path, seconds: int) -> OverloadResults:
    """Measure the server before, during and after the overload. Raises ServerFailed, WrongSums, WrkFailed."""
    connections = min(CONNECTIONS, _raise_file_limit(CONNECTIONS + SPARE_FILES) - SPARE_FILES)
    with servers.running(DARKROOM) as server:
        creations = _CreationLoad(server, folder, members_file)
        creations.run(NORMAL_CONNECTIONS, 1)
        normal = creations.run(NORMAL_CONNECTIONS, max(3, seconds // 3))
        with _probing(server, members_file, folder / "probes.jsonl"):
            time.sleep(1)  # for the prober to connect
            alone = time.monotonic()
            time.sleep(3)
            start = time.monotonic()
            with _sampling(server.pid) as memory:
                load = creations.run(connections, seconds)
            end = time.monotonic()
            time.sleep(3)
        server.check(creations.accepted)
    results = read_results(folder / "probes.jsonl")
    before = _started_between(results, alone, start)
    during = _started_between(results, start + 1, end)  # all connections are open after a second
    after = _started_between(results, end, end + 1)
    return OverloadResults(connections, normal, load, before, during, after, memory)


class _CreationLoad:
    """Task creations by wrk with idempotency keys that never repeat."""

    def __init__(self, server: RunningServer, folder: Path, members_file: Path) -> None:
        self._server, self._script, self._members_file = server, folder / "overload.lua", members_file
        self._next_key = 0
        self.accepted = 0

    def run(self, connections: int, seconds: int) -> Load:
        self._script.write_text(wrk_script(MeasuredCall.CREATE, self._members_file, self._next_key))
        load = run_wrk(self._script, self._server.base, connections, seconds)
        self._next_key += load.requests + load.late + load.broken + connections
        self.accepted += load.requests - load.refused
        return load


def _started_between(results: Sequence[ProbeResult], start: float, end: float) -> list[ProbeResult]:
    return [result for result in results if start <= result.started < end]


@contextmanager
def _probing(server: RunningServer, members_file: Path, results_file: Path) -> Iterator[None]:
    command = [sys.executable, "-P", "-m", "tests.bench.prober", server.base, str(members_file), str(results_file)]
    prober = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        yield
        prober.send_signal(signal.SIGTERM)
        prober.wait(2 * TIMEOUT_SECONDS)
    finally:
        prober.kill()
        prober.wait()


@contextmanager
def _sampling(pid: int) -> Iterator[list[int]]:
    """Sample the resident memory of the process until the block ends."""
    samples: list[int] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.append(resident_memory(pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield samples
    finally:
        stop.set()
        sampler.join()


def _raise_file_limit(required: int) -> int:
    """Raise the limit of open files for child processes as far as the system allows, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        required = min(required, hard)
    if soft != resource.RLIM_INFINITY and soft < required:
        resource.setrlimit(resource.RLIMIT_NOFILE, (required, hard))
    return required


def main() -> int:
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        find_wrk()
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="overload-") as name:
            folder = Path(name).resolve()
            members, members_file = create_members(MEMBER_COUNT), folder / "members.txt"
            write_members_file(members, members_file)
            overload = measure_overload(BenchServers(folder, members, 0), folder, members_file, options.seconds)
    except (WrkMissing, WrkFailed, ServerFailed, WrongSums) as failure:
        print(f"the measurement failed: {failure}", file=sys.stderr)
        return 2
    targets = overload.targets()
    print(f"{overload.section()}\n{targets_table(targets)}")
    return 0 if all(target.reached for target in targets) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send Darkroom more load than it can serve.")
    parser.add_argument("--seconds", type=int, default=12, help="the length of the overload (default: 12)")
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="folder for the data, on a disk")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
