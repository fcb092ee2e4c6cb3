"""The machine on which a measurement ran. Linux only."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

FSYNC_COUNT = 200
BLOCK = bytes(4096)
MAX_OTHER_CPU_SHARE = 0.1  # above it the figures are not reliable
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


class FolderInMemory(Exception):
    """The data folder is in memory, where an fsync costs nothing."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`fsync_seconds` is for a 4-KiB append; `commit` ends in -dirty when the work tree had changes.

    `other_cpu_share` is the share of all processors' time that other processes and the host used.
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
    fsync_seconds: float
    other_cpu_share: float = 0.0

    @property
    def other_cpu_note(self) -> str:
        note = f"other processes and the host used {100 * self.other_cpu_share:.0f} % of the processors' time"
        unreliable = self.other_cpu_share > MAX_OTHER_CPU_SHARE
        return f"{note}: **too much to rely on these figures**" if unreliable else note

    def lines(self) -> list[tuple[str, str]]:
        return [
            ("when", self.date),
            ("commit", self.commit),
            ("processor", f"{self.cpu}, {self.cores} cores, shared by servers and load generator"),
            ("kernel", self.kernel),
            ("Python", self.python),
            ("SQLite", self.sqlite),
            ("packages", self.packages),
            ("load generator", self.wrk),
            ("data folder", f"a new folder under {self.folder}, on {self.file_system}, removed afterwards"),
            (
                "fsync",
                f"{1e6 * self.fsync_seconds:.0f} µs, the median of {FSYNC_COUNT} appends of 4 KiB to a file there",
            ),
            ("meanwhile", self.other_cpu_note),
        ]


def describe_machine(folder: Path, wrk: str) -> Machine:
    """Describe the machine and the data folder. Raises FolderInMemory."""
    kind = _file_system(folder.resolve(), Path("/proc/mounts").read_text())
    if kind in MEMORY_FILE_SYSTEMS:
        raise FolderInMemory(f"{folder} is on {kind}: choose a folder on a disk with --folder")
    return Machine(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        commit=_commit(),
        cpu=_cpu_model(Path("/proc/cpuinfo").read_text()),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        packages=", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "aiosqlite", "pyjwt")),
        wrk=_first_line(wrk, "-v").split(" Copyright")[0],
        folder=str(folder),
        file_system=kind,
        fsync_seconds=_fsync_seconds(folder),
    )


def _cpu_model(cpuinfo: str) -> str:
    """The model from /proc/cpuinfo, or the architecture when the kernel does not name a model."""
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _file_system(folder: Path, mounts: str) -> str:
    """The type of the file system that contains `folder`, from /proc/mounts."""
    points = [(Path(fields[1]), fields[2]) for fields in map(str.split, mounts.splitlines())]
    containing = [point for point in points if folder.is_relative_to(point[0])]
    return max(containing, key=lambda point: len(point[0].parts))[1]


def _fsync_seconds(folder: Path) -> float:
    path = folder / "fsync.probe"
    seconds = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FSYNC_COUNT):
            start = time.perf_counter()
            file.write(BLOCK)
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - start)
    path.unlink()
    return statistics.median(seconds)


def _commit() -> str:
    return _first_line("git", "describe", "--always", "--tags", "--dirty") or "unknown"


def _first_line(*command: str) -> str:
    """The first line of a command's output. The exit status is ignored, because `wrk -v` exits with 1."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except OSError:
        return ""
    return (result.stdout.splitlines() or [""])[0]
