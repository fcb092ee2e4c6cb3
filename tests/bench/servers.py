"""The three servers that are measured, each in a process of its own, started fresh on a copy of the same data."""

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

from server.commands.serve import READY
from tests.bench.baseline_data import fill_obvious
from tests.bench.members import BASE, Member, fill_darkroom
from tests.support.invariants import audit_violations
from tests.support.process import environment
from tests.support.server import SECRETS

BARE, OBVIOUS, DARKROOM = NAMES = ("bare", "obvious", "darkroom")
ROOT = Path(__file__).parent.parent.parent
STOP_SECONDS = 30

# In the order in which each process starts its threads.
THREADS = {
    BARE: ("event loop",),
    OBVIOUS: ("event loop", "database"),
    DARKROOM: ("event loop", "writer", "readers", "readers"),
}


class ServerFailed(Exception):
    """A server did not start, or did not end in order."""


class WrongSums(Exception):
    """After a run, Darkroom's database does not hold what it should."""


@dataclass(frozen=True, slots=True)
class Running:
    name: str
    base: str
    pid: int
    data: Path

    def check(self, created: int) -> None:
        """What was answered has to be in Darkroom's database, and the sums have to hold. Raises WrongSums."""
        if self.name != DARKROOM:
            return
        uri = f"{(self.data / 'darkroom.sqlite3').resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # one moment for all that is asked
            (tasks,) = connection.execute("SELECT COUNT(*) FROM tasks").fetchone()
            broken = audit_violations(connection)
        if tasks < created:
            raise WrongSums(f"{created} creations were answered, {tasks} tasks are in the database")
        if broken:
            raise WrongSums("; ".join(fault[:300] for fault in broken))


class Contenders:
    """`folder` gets one filled data folder for each server, and the copies that runs are made on."""

    def __init__(self, folder: Path, people: Sequence[Member], logins: int) -> None:
        self._folder = folder
        fill_darkroom(folder / "master" / DARKROOM, people, logins)
        (folder / "master" / OBVIOUS).mkdir()
        fill_obvious(folder / "master" / OBVIOUS / "obvious.sqlite3", people, logins)
        (folder / "master" / BARE).mkdir()

    def teach_bare(self, answers: dict[str, object]) -> None:
        """What the bare server answers, by the call's name."""
        (self._folder / "master" / BARE / "answers.json").write_text(json.dumps(answers))

    @contextmanager
    def running(self, name: str) -> Iterator[Running]:
        """Raises ServerFailed."""
        data = self._folder / "run"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(self._folder / "master" / name, data, copy_function=_copy)
        os.sync()  # so that what the server before this one left to be written does not slow it
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                _command(name, data), cwd=self._folder, env=_environment(), stdout=subprocess.PIPE, stderr=log
            )
            try:
                yield Running(name, _address(process, self._folder / f"{name}.log"), process.pid, data)
                _stop(process, name)
            finally:
                process.kill()
                process.communicate()


def _command(name: str, data: Path) -> list[str]:
    module = [sys.executable, "-P", "-m"]
    match name:
        case "bare":
            return [*module, "tests.bench.bare", str(data / "answers.json")]
        case "obvious":
            return [*module, "tests.bench.baseline", str(data / "obvious.sqlite3")]
        case _:
            return [*module, "server.commands.main", "serve", "--data", str(data), "--port", "0"]


def _environment() -> dict[str, str]:
    secrets = {f"SECRETS__{name.upper()}": secret for name, secret in SECRETS.items()}
    settings = {"TASKS__WORKERS": "0", "SERVER__PUBLIC_URL": BASE, **secrets}
    return environment(**settings) | {"PYTHONPATH": str(ROOT)}


def _copy(source: str, target: str) -> None:
    """Pictures never change, so a run may share them; everything else it gets for itself."""
    if source.endswith(".png"):
        os.link(source, target)
        return
    shutil.copyfile(source, target)
    with Path(target).open("rb") as copied:
        os.fsync(copied.fileno())  # so that the copy's way to the disk is no part of what is measured


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    if not line.startswith(READY):
        raise ServerFailed(f"it did not start; the end of {log}:\n{log.read_text()[-1000:]}")
    return line.removeprefix(READY).strip()


def _stop(process: subprocess.Popen[bytes], name: str) -> None:
    process.send_signal(signal.SIGTERM)
    if (status := process.wait(STOP_SECONDS)) != 0:
        raise ServerFailed(f"{name} ended with exit status {status}")
