"""wrk, the load generator: find it, run it, and read its figures."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

INSTALL = (
    "wrk is not installed: apt install wrk (Debian, Ubuntu), brew install wrk (macOS), github.com/wg/wrk elsewhere"
)

# The end of every script prints one line for `parse`, with times in microseconds.
PRINT_FIGURES = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("figures %d %d %d %d %d %d %d %d\\n", summary.requests, summary.duration, e.status,
    e.connect + e.read + e.write, e.timeout, latency:percentile(50), latency:percentile(99), latency.max))
end
"""


class WrkMissing(Exception):
    """wrk is not on the PATH."""

    def __init__(self) -> None:
        super().__init__(INSTALL)


class WrkFailed(Exception):
    """wrk ended without printing figures."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of one run of wrk, with times in seconds.

    `refused` counts responses with a status of 400 or more, `broken` connections that could not be opened or were
    lost, `late` responses that took longer than wrk's timeout.
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
        """Responses per second, whatever their status."""
        return self.requests / self.seconds

    @property
    def accepted(self) -> float:
        """Responses per second with a status below 400."""
        return (self.requests - self.refused) / self.seconds


def find_wrk() -> str:
    """Return the path of wrk. Raises WrkMissing."""
    path = shutil.which("wrk")
    if path is None:
        raise WrkMissing
    return path


def run_wrk(script: Path, base: str, connections: int, seconds: int) -> Load:
    """Run wrk with one thread, because the server needs the other core. Raises WrkMissing, WrkFailed."""
    command = [find_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), base]
    wrk = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return parse(wrk.stdout)


def parse(output: str) -> Load:
    """Parse wrk's output. Raises WrkFailed."""
    for line in output.splitlines():
        if line.startswith("figures "):
            requests, micros, refused, broken, late, p50, p99, slowest = map(int, line.split()[1:])
            return Load(requests, micros / 1e6, refused, broken, late, p50 / 1e6, p99 / 1e6, slowest / 1e6)
    raise WrkFailed(f"wrk printed no figures: {output.strip()[-500:]}")
