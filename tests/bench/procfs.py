"""What Linux says of a process: the CPU time of each of its threads, and its memory."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
REST_SECONDS, SETTLE_SECONDS = 0.1, 5


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


def settle(pid: int) -> None:
    """Wait until the process has finished what it took on: until it rests for a moment, or for so long at most."""
    end = time.monotonic() + SETTLE_SECONDS
    earlier = -1.0
    while time.monotonic() < end:
        now = sum(thread.seconds for thread in threads(pid))
        if now - earlier < 2 * TICK:  # one tick may be the rest of an earlier one
            return
        earlier = now
        time.sleep(REST_SECONDS)


def peak_memory(pid: int) -> int:
    """The most bytes the process has had resident so far."""
    return status_bytes(Path(f"/proc/{pid}/status").read_text(), "VmHWM")


def resident_memory(pid: int) -> int:
    return status_bytes(Path(f"/proc/{pid}/status").read_text(), "VmRSS")


def busy_seconds(stat: str) -> float:
    """CPU seconds that all processors have worked since the machine began, from /proc/stat; a host's theft included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK


class Company:
    """How much of the machine others use, from when this is made on."""

    def __init__(self) -> None:
        self._begun, self._busy, self._own = time.monotonic(), _busy(), _own()

    def share(self) -> float:
        """Of all processors' time: what was used by neither this process nor the children it has waited for."""
        passed = (time.monotonic() - self._begun) * (os.cpu_count() or 1)
        return max(0.0, _busy() - self._busy - (_own() - self._own)) / passed


def _busy() -> float:
    return busy_seconds(Path("/proc/stat").read_text())


def _own() -> float:
    return sum(os.times()[:4])


def status_bytes(status: str, key: str) -> int:
    lines: Mapping[str, str] = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines[key].split()[0]) * 1024
