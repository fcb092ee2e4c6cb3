"""What Linux says of a process: the CPU time of each of its threads, and its memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Thread:
    """`seconds` of CPU, user and system, since the thread began; `born` orders threads by their start."""

    id: int
    born: int
    seconds: float


def threads(pid: int) -> list[Thread]:
    """A process's threads in the order of their start: the main one first."""
    found = []
    for folder in Path(f"/proc/{pid}/task").iterdir():
        try:
            found.append(parse_thread((folder / "stat").read_text("ascii", "replace")))
        except FileNotFoundError:  # it ended while we looked
            continue
    return sorted(found, key=lambda thread: (thread.born, thread.id))


def parse_thread(stat: str) -> Thread:
    """A line of /proc/PID/task/TID/stat (proc(5)); the name in it may hold spaces and brackets."""
    before, _, after = stat.rpartition(")")
    fields = after.split()  # from the third field on
    return Thread(int(before.split(" ", 1)[0]), int(fields[19]), (int(fields[11]) + int(fields[12])) * TICK)


def spent(before: Sequence[Thread], after: Sequence[Thread], names: Sequence[str]) -> dict[str, float]:
    """CPU seconds between two looks, under the threads' names.

    Python 3.11 does not tell the kernel what a thread is called, so names are given by the order in which threads
    start; those past the names are "others". Several threads may have the same name.
    """
    earlier = {thread.id: thread.seconds for thread in before}
    by_name: dict[str, float] = {}
    for position, thread in enumerate(after):
        name = names[position] if position < len(names) else "others"
        by_name[name] = by_name.get(name, 0.0) + thread.seconds - earlier.get(thread.id, 0.0)
    return by_name


def peak_memory(pid: int) -> int:
    """The most bytes the process has had resident so far."""
    return status_bytes(Path(f"/proc/{pid}/status").read_text(), "VmHWM")


def resident_memory(pid: int) -> int:
    return status_bytes(Path(f"/proc/{pid}/status").read_text(), "VmRSS")


def status_bytes(status: str, key: str) -> int:
    lines: Mapping[str, str] = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines[key].split()[0]) * 1024
