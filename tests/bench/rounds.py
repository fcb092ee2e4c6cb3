"""The measurements: the three servers take turns, scene by scene and round by round.

Each measurement has a server process of its own, started fresh on a copy of the same data and warmed up for a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.calls import Call, script, write_people
from tests.bench.figures import Results, Run, Scene
from tests.bench.members import PEOPLE, Member, members
from tests.bench.procfs import peak_memory, settle, spent, threads
from tests.bench.servers import DARKROOM, NAMES, THREADS, Contenders, Running
from tests.bench.single_request import one_answer
from tests.bench.wrk import Load, run_wrk

LOGINS_A_SECOND = 8000  # codes prepared; Darkroom would have to be faster than this to run out of them
WARM_UP = 1  # seconds
SCENES = [
    *(Scene(call, connections) for call in Call for connections in (1, 64, 256)),
    Scene(Call.CREATE, 64, hot=True),
]


class Refused(Exception):
    """A server refused requests that it should have answered: there is no figure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured; `seconds` for one measurement."""

    scenes: Sequence[Scene]
    rounds: int
    seconds: int
    folder: Path

    @property
    def logins(self) -> int:
        return LOGINS_A_SECOND * (self.seconds + WARM_UP)


class Bench:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.people = members(PEOPLE)
        self.contenders = Contenders(plan.folder, self.people, plan.logins)
        self.contenders.teach_bare(self._answers(self.people[0]))
        self.many, self._one = plan.folder / "many.txt", plan.folder / "one.txt"
        write_people(self.people, self.many)
        write_people(self.people[:1], self._one)

    def _answers(self, member: Member) -> dict[str, object]:
        with self.contenders.running(DARKROOM) as server:
            return {call.value: one_answer(server.base, call, member) for call in Call}

    def measure(self) -> Results:
        """Raises Refused, WrongSums, ServerFailed, WrkFailed."""
        total = self._plan.rounds * len(self._plan.scenes) * len(NAMES)
        runs: list[Run] = []
        for _ in range(self._plan.rounds):
            for scene in self._plan.scenes:
                for name in NAMES:
                    runs.append(self.run(name, scene))
                    _tell(runs[-1], len(runs), total)
        return Results(runs)

    def run(self, name: str, scene: Scene) -> Run:
        with self.contenders.running(name) as server:
            warm = self._load(server, scene, WARM_UP, 0)
            settle(server.pid)  # a lock lets what wrk has left behind go on for a while
            before = threads(server.pid)
            load = self._load(server, scene, self._plan.seconds, warm.requests + scene.connections)
            cpu = spent(before, threads(server.pid), THREADS[name])
            if scene.call is Call.CREATE:
                server.check(warm.requests + load.requests)
            return Run(name, scene, load, cpu, peak_memory(server.pid))

    def _load(self, server: Running, scene: Scene, seconds: int, first: int) -> Load:
        """`first` numbers the first key or phone: one that an earlier load has not used."""
        file = self._plan.folder / "script.lua"
        file.write_text(script(scene.call, self._one if scene.hot else self.many, first))
        load = run_wrk(file, server.base, scene.connections, seconds)
        if load.refused or load.broken or load.late or not load.requests:
            raise Refused(
                f"{server.name}, {scene.title} at {scene.connections} connections: {load.requests} answers, "
                f"{load.refused} of them refusals; {load.broken} connections failed, {load.late} answers were late"
            )
        return load


def _tell(run: Run, done: int, total: int) -> None:
    each = ", ".join(f"{name} {cpu:.0f}" for name, cpu in run.cpu_each().items())
    print(
        f"{done:>4}/{total} {run.server:<9}{run.scene.title:<24}{run.scene.connections:>4} connections "
        f"{run.load.rate:>8,.0f}/s  p50 {1000 * run.load.p50:>6.2f} ms  p99 {1000 * run.load.p99:>7.2f} ms  "
        f"CPU µs: {each}",
        flush=True,
    )
