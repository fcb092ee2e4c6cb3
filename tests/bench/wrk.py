"""wrk, the load generator: found, run, and its figures read."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

INSTALL = (
    "wrk is not installed: apt install wrk (Debian, Ubuntu), brew install wrk (macOS), github.com/wg/wrk elsewhere"
)

# Printed by every script, so that nothing has to be read out of what wrk prints for people. Times in microseconds.
DONE = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("figures %d %d %d %d %d %d %d %d\\n", summary.requests, summary.duration, e.status,
    e.connect + e.read + e.write, e.timeout, latency:percentile(50), latency:percentile(99), latency.max))
end
"""


class WrkMissing(Exception):
    """There is no wrk on the PATH; the message says how to get it."""

    def __init__(self) -> None:
        super().__init__(INSTALL)


class WrkFailed(Exception):
    """wrk ended without figures."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw. `refused` answers had a status of 400 or more; times in seconds.

    `broken` counts connections that could not be made or broke off, `late` answers that took wrk's timeout or longer.
    """

    requests: int
    seconds: float
    refused: int
    broken: int
    late: int
    p50: float
    p99: float
    slowest: float

    @property
    def rate(self) -> float:
        """Answers a second, of whatever status."""
        return self.requests / self.seconds

    @property
    def accepted(self) -> float:
        """Answers a second that were no refusal."""
        return (self.requests - self.refused) / self.seconds


def find_wrk() -> str:
    """Raises WrkMissing."""
    found = shutil.which("wrk")
    if found is None:
        raise WrkMissing
    return found


def run_wrk(script: Path, base: str, connections: int, seconds: int) -> Load:
    """One thread, since the machine's other core is the server's. Raises WrkMissing, WrkFailed."""
    return collect(start_wrk(script, base, connections, seconds))


def start_wrk(script: Path, base: str, connections: int, seconds: int) -> subprocess.Popen[str]:
    """Raises WrkMissing."""
    command = [find_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), base]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def collect(wrk: subprocess.Popen[str]) -> Load:
    """Wait for the end and read the figures. Raises WrkFailed."""
    said, _ = wrk.communicate()
    return parse(said)


def parse(said: str) -> Load:
    """Raises WrkFailed."""
    for line in said.splitlines():
        if line.startswith("figures "):
            requests, micros, refused, broken, late, p50, p99, slowest = map(int, line.split()[1:])
            return Load(requests, micros / 1e6, refused, broken, late, p50 / 1e6, p99 / 1e6, slowest / 1e6)
    raise WrkFailed(f"wrk gave no figures: {said.strip()[-500:]}")
