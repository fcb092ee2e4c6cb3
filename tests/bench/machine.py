"""What a measurement ran on. Linux only."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

FSYNCS = 200
BLOCK = bytes(4096)
ALONE = 0.1  # of the processors' time: what others may use before figures mean little
IN_MEMORY = ("tmpfs", "ramfs")


class NotADisk(Exception):
    """The data would lie in memory, where making it durable costs nothing."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`fsync` in seconds, for a 4-KiB append; `commit` ends in -dirty when files differed from it.

    `others` is the share of all processors' time that went to what did not belong to the measurement.
    """

    date: str
    commit: str
    cpu: str
    cores: int
    kernel: str
    python: str
    sqlite: str
    packages: str
    wrk: str
    folder: str
    file_system: str
    fsync: float
    others: float = 0.0

    @property
    def company(self) -> str:
        said = f"other processes and the host used {100 * self.others:.0f} % of the processors' time"
        return f"{said}: **too much to rely on these figures**" if self.others > ALONE else said

    def lines(self) -> list[tuple[str, str]]:
        return [
            ("when", self.date),
            ("commit", self.commit),
            ("processor", f"{self.cpu}, {self.cores} cores, for servers and load together"),
            ("kernel", self.kernel),
            ("Python", self.python),
            ("SQLite", self.sqlite),
            ("packages", self.packages),
            ("load generator", self.wrk),
            ("data folder", f"a new folder under {self.folder}, on {self.file_system}, removed afterwards"),
            ("fsync", f"{1e6 * self.fsync:.0f} µs, the median of {FSYNCS} appends of 4 KiB to a file there"),
            ("meanwhile", self.company),
        ]


def look(folder: Path, wrk: str) -> Machine:
    """Raises NotADisk."""
    kind = file_system(folder.resolve(), Path("/proc/mounts").read_text())
    if kind in IN_MEMORY:
        raise NotADisk(f"{folder} is on {kind}: give --folder one on a disk")
    return Machine(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        commit=_commit(),
        cpu=cpu_model(Path("/proc/cpuinfo").read_text()),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        packages=", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "aiosqlite", "pyjwt")),
        wrk=_first_line(wrk, "-v").split(" Copyright")[0],
        folder=str(folder),
        file_system=kind,
        fsync=_fsync_seconds(folder),
    )


def cpu_model(cpuinfo: str) -> str:
    """From /proc/cpuinfo; the architecture where the kernel does not name a model."""
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def file_system(folder: Path, mounts: str) -> str:
    """The kind of file system `folder` is on, from /proc/mounts: the mount point nearest to it."""
    found = [(Path(fields[1]), fields[2]) for fields in map(str.split, mounts.splitlines())]
    return max(_above(folder, found), key=lambda mount: len(mount[0].parts))[1]


def _above(folder: Path, mounts: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
    return [mount for mount in mounts if folder.is_relative_to(mount[0])]


def _fsync_seconds(folder: Path) -> float:
    path = folder / "fsync.probe"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            begun = time.perf_counter()
            file.write(BLOCK)
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    path.unlink()
    return statistics.median(taken)


def _commit() -> str:
    return _first_line("git", "describe", "--always", "--tags", "--dirty") or "unknown"


def _first_line(*command: str) -> str:
    """`wrk -v` prints its version and exits with 1."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0]
