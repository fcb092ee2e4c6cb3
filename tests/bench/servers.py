"""The three servers that are measured. Each starts in its own process, on a fresh copy of the same data."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.commands.serve import READY_LINE
from tests.bench.baseline_data import create_baseline_database
from tests.bench.darkroom_data import create_darkroom_data
from tests.bench.members import BASE, Member
from tests.support.invariants import audit_violations
from tests.support.process import environment
from tests.support.server import SECRETS

BARE, BASELINE, DARKROOM = NAMES = ("bare", "baseline", "darkroom")
ROOT = Path(__file__).parent.parent.parent
STOP_SECONDS = 30

# The names of each process's threads, in the order in which they start.
THREADS = {
    BARE: ("event loop",),
    BASELINE: ("event loop", "database"),
    DARKROOM: ("event loop", "writer", "readers", "readers"),
}


class ServerFailed(Exception):
    """A server did not start, or exited with an error."""


class WrongSums(Exception):
    """Darkroom's database lacks an answered task, or its sums are wrong."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    name: str
    base: str
    pid: int
    data: Path

    def check(self, created: int) -> None:
        """Check that every answered creation is in Darkroom's database and the sums are right. Raises WrongSums."""
        if self.name != DARKROOM:
            return
        uri = f"{(self.data / 'darkroom.sqlite3').resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # all checks read the same snapshot
            (tasks,) = connection.execute("SELECT COUNT(*) FROM tasks").fetchone()
            violations = audit_violations(connection)
        if tasks < created:
            raise WrongSums(f"{created} creations were answered, {tasks} tasks are in the database")
        if violations:
            raise WrongSums("; ".join(violation[:300] for violation in violations))


class BenchServers:
    """Creates one data folder for each server in `folder`, and starts the servers on copies of them."""

    def __init__(self, folder: Path, members: Sequence[Member], logins: int) -> None:
        self._folder = folder
        create_darkroom_data(folder / "master" / DARKROOM, members, logins)
        (folder / "master" / BASELINE).mkdir()
        create_baseline_database(folder / "master" / BASELINE / "baseline.sqlite3", members, logins)
        (folder / "master" / BARE).mkdir()

    def set_bare_responses(self, responses: dict[str, object]) -> None:
        """Set the response of the bare server to each call, by the call's name."""
        (self._folder / "master" / BARE / "responses.json").write_text(json.dumps(responses))

    @contextmanager
    def running(self, name: str) -> Iterator[RunningServer]:
        """Start a server and stop it afterwards. Raises ServerFailed."""
        data = self._folder / "run"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(self._folder / "master" / name, data, copy_function=_copy)
        os.sync()  # otherwise the disk writes of the previous server would slow this one
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                _command(name, data), cwd=self._folder, env=_environment(), stdout=subprocess.PIPE, stderr=log
            )
            try:
                yield RunningServer(name, _read_address(process, self._folder / f"{name}.log"), process.pid, data)
                _stop(process, name)
            finally:
                process.kill()
                process.communicate()


def _command(name: str, data: Path) -> list[str]:
    module = [sys.executable, "-P", "-m"]
    if name == BARE:
        return [*module, "tests.bench.bare", str(data / "responses.json")]
    if name == BASELINE:
        return [*module, "tests.bench.baseline", str(data / "baseline.sqlite3")]
    return [*module, "server.commands.main", "serve", "--data", str(data), "--port", "0"]


def _environment() -> dict[str, str]:
    secrets = {f"SECRETS__{name.upper()}": secret for name, secret in SECRETS.items()}
    settings = {"TASKS__WORKERS": "0", "SERVER__PUBLIC_URL": BASE, **secrets}
    return environment(**settings) | {"PYTHONPATH": str(ROOT)}


def _copy(source: str, target: str) -> None:
    """Link pictures, because they never change, and copy everything else."""
    if source.endswith(".png"):
        os.link(source, target)
        return
    shutil.copyfile(source, target)
    with Path(target).open("rb") as copied:
        os.fsync(copied.fileno())  # the copy must be on the disk before the measurement begins


def _read_address(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    if not line.startswith(READY_LINE):
        raise ServerFailed(f"the server did not start; the end of {log}:\n{log.read_text()[-1000:]}")
    return line.removeprefix(READY_LINE).strip()


def _stop(process: subprocess.Popen[bytes], name: str) -> None:
    process.send_signal(signal.SIGTERM)
    if (status := process.wait(STOP_SECONDS)) != 0:
        raise ServerFailed(f"{name} ended with exit status {status}")
