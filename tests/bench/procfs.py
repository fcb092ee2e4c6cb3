"""The CPU time of each thread of a process, and the memory of the process, from Linux's /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
IDLE_SECONDS, MAX_WAIT_SECONDS = 0.1, 5


@dataclass(frozen=True, slots=True)
class Thread:
    """`seconds` is the thread's CPU time, user and system; `started` orders threads by their start."""

    id: int
    started: int
    seconds: float


def list_threads(pid: int) -> list[Thread]:
    """A process's threads in the order of their start: the main one first."""
    threads = []
    for folder in Path(f"/proc/{pid}/task").iterdir():
        try:
            threads.append(_parse_thread((folder / "stat").read_text("ascii", "replace")))
        except FileNotFoundError:  # the thread has ended
            continue
    return sorted(threads, key=lambda thread: (thread.started, thread.id))


def _parse_thread(stat: str) -> Thread:
    """Parse /proc/PID/task/TID/stat (see proc(5)). The thread's name may contain spaces and brackets."""
    before, _, after = stat.rpartition(")")
    fields = after.split()  # the third field and those after it
    return Thread(int(before.split(" ", 1)[0]), int(fields[19]), (int(fields[11]) + int(fields[12])) * TICK)


def cpu_seconds_by_thread(before: Sequence[Thread], after: Sequence[Thread], names: Sequence[str]) -> dict[str, float]:
    """The CPU seconds used between two listings of the threads, by thread name.

    Python 3.11 does not tell the kernel the name of a thread, so `names` are assigned in the order in which the threads
    started. Threads without a name are "others", and several threads may have the same name.
    """
    earlier = {thread.id: thread.seconds for thread in before}
    by_name: dict[str, float] = {}
    for position, thread in enumerate(after):
        name = names[position] if position < len(names) else "others"
        by_name[name] = by_name.get(name, 0.0) + thread.seconds - earlier.get(thread.id, 0.0)
    return by_name


def wait_until_idle(pid: int) -> None:
    """Wait until the process uses no CPU time for IDLE_SECONDS, or for MAX_WAIT_SECONDS."""
    end = time.monotonic() + MAX_WAIT_SECONDS
    earlier = -1.0
    while time.monotonic() < end:
        now = sum(thread.seconds for thread in list_threads(pid))
        if now - earlier < 2 * TICK:  # the kernel may count one tick late
            return
        earlier = now
        time.sleep(IDLE_SECONDS)


def peak_memory(pid: int) -> int:
    """The highest number of resident bytes since the process started."""
    return _status_bytes(pid, "VmHWM")


def resident_memory(pid: int) -> int:
    return _status_bytes(pid, "VmRSS")


def _status_bytes(pid: int, key: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    values: Mapping[str, str] = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(values[key].split()[0]) * 1024


class OtherProcesses:
    """Measures how much CPU time other processes and the host use, from its creation on."""

    def __init__(self) -> None:
        self._start, self._total, self._own = time.monotonic(), _total_cpu_seconds(), _own_cpu_seconds()

    def cpu_share(self) -> float:
        """The share of all processors' time that neither this process nor its finished children have used."""
        available = (time.monotonic() - self._start) * (os.cpu_count() or 1)
        used = _total_cpu_seconds() - self._total - (_own_cpu_seconds() - self._own)
        return max(0.0, used) / available


def _total_cpu_seconds() -> float:
    """The CPU seconds of all processors since the machine started, including those stolen by the host (proc(5))."""
    total = Path("/proc/stat").read_text().split("\n", 1)[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, total.split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK


def _own_cpu_seconds() -> float:
    return sum(os.times()[:4])
