"""The measurements of `make bench`: each round measures the three servers in turn under each load profile.

Each measurement starts a server process on a fresh copy of the same data and warms it up for a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.calls import MeasuredCall, write_members_file, wrk_script
from tests.bench.figures import LoadProfile, Measurement, Results
from tests.bench.members import MEMBER_COUNT, Member, create_members
from tests.bench.procfs import cpu_seconds_by_thread, list_threads, peak_memory, wait_until_idle
from tests.bench.servers import DARKROOM, NAMES, THREADS, BenchServers, RunningServer
from tests.bench.single_request import fetch_response
from tests.bench.wrk import Load, run_wrk

LOGINS_PER_SECOND = 8000  # prepared codes: more than any server can use
WARM_UP_SECONDS = 1
PROFILES = [
    *(LoadProfile(call, connections) for call in MeasuredCall for connections in (1, 64, 256)),
    LoadProfile(MeasuredCall.CREATE, 64, single_user=True),
]


class RequestsFailed(Exception):
    """A server refused or failed requests that it should have answered, so the measurement is not valid."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The load profiles to measure, how often, and the seconds of each measurement."""

    profiles: Sequence[LoadProfile]
    rounds: int
    seconds: int
    folder: Path

    @property
    def logins(self) -> int:
        return LOGINS_PER_SECOND * (self.seconds + WARM_UP_SECONDS)


class Bench:
    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        members = create_members(MEMBER_COUNT)
        self.servers = BenchServers(plan.folder, members, plan.logins)
        self.servers.set_bare_responses(self._responses(members[0]))
        self.members_file, self._single_member_file = plan.folder / "members.txt", plan.folder / "single-member.txt"
        write_members_file(members, self.members_file)
        write_members_file(members[:1], self._single_member_file)

    def _responses(self, member: Member) -> dict[str, object]:
        with self.servers.running(DARKROOM) as server:
            return {call.value: fetch_response(server.base, call, member) for call in MeasuredCall}

    def measure(self) -> Results:
        """Measure all load profiles on all servers. Raises RequestsFailed, WrongSums, ServerFailed, WrkFailed."""
        total = self._plan.rounds * len(self._plan.profiles) * len(NAMES)
        measurements: list[Measurement] = []
        for _ in range(self._plan.rounds):
            for profile in self._plan.profiles:
                for name in NAMES:
                    measurements.append(self._measure_server(name, profile))
                    _report_progress(measurements[-1], len(measurements), total)
        return Results(measurements)

    def _measure_server(self, name: str, profile: LoadProfile) -> Measurement:
        with self.servers.running(name) as server:
            warm_up = self._run_load(server, profile, WARM_UP_SECONDS, 0)
            wait_until_idle(server.pid)  # the server may still work on requests that wrk has abandoned
            before = list_threads(server.pid)
            load = self._run_load(server, profile, self._plan.seconds, warm_up.requests + profile.connections)
            cpu = cpu_seconds_by_thread(before, list_threads(server.pid), THREADS[name])
            if profile.call is MeasuredCall.CREATE:
                server.check(warm_up.requests + load.requests)
            return Measurement(name, profile, load, cpu, peak_memory(server.pid))

    def _run_load(self, server: RunningServer, profile: LoadProfile, seconds: int, first: int) -> Load:
        """`first` is the number of the first key or phone. An earlier load must not have used it."""
        script = self._plan.folder / "script.lua"
        members_file = self._single_member_file if profile.single_user else self.members_file
        script.write_text(wrk_script(profile.call, members_file, first))
        load = run_wrk(script, server.base, profile.connections, seconds)
        if load.refused or load.broken or load.late or not load.requests:
            raise RequestsFailed(
                f"{server.name}, {profile.title} at {profile.connections} connections: {load.requests} responses, "
                f"{load.refused} of them refusals; {load.broken} connections failed, {load.late} responses were late"
            )
        return load


def _report_progress(done: Measurement, number: int, total: int) -> None:
    load, profile = done.load, done.profile
    cpu = ", ".join(f"{thread} {microseconds:.0f}" for thread, microseconds in done.cpu_per_request().items())
    print(
        f"{number:>4}/{total} {done.server:<9}{profile.title:<24}{profile.connections:>4} connections "
        f"{load.rate:>8,.0f}/s  p50 {1000 * load.p50:>6.2f} ms  p99 {1000 * load.p99:>7.2f} ms  "
        f"CPU µs: {cpu}",
        flush=True,
    )
