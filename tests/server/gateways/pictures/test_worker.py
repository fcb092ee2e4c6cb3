"""The worker process on its own: what it inherits, what it answers to, when it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.ports import PictureTemplate
from server.gateways.pictures.pool import PictureProcesses
from server.gateways.pictures.protocol import Admit, Clean, Verdict, job_line, read_answer, read_job
from tests.server.gateways.pictures.drawings import encoded, quadrants

WORKER = (sys.executable, "-m", "server.gateways.pictures.worker", str(2 * 1024**3))
PARENT = """
import asyncio, sys
from pathlib import Path
from server.gateways.pictures.pool import PictureProcesses

async def main() -> None:
    processes = PictureProcesses(1)
    await processes.start()
    job = asyncio.create_task(processes.admit(Path(sys.argv[1]), Path(sys.argv[1] + ".png")))
    while not processes.pids:
        await asyncio.sleep(0)
    print(processes.pids[0], flush=True)
    await job

asyncio.run(main())
"""


def started() -> subprocess.Popen[bytes]:
    worker = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    return worker


def ask(worker: subprocess.Popen[bytes], job: Admit) -> Verdict:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(job_line(job))
    worker.stdin.flush()
    return read_answer(worker.stdout.readline()).verdict


def test_it_ends_when_stdin_ends() -> None:
    with started() as worker:
        said, _ = worker.communicate(timeout=20)
        assert said == b""
        assert worker.returncode == 0


def test_it_leaves_group_signals_to_its_parent(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encoded(quadrants(), "PNG"))
    with started() as worker:
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGTERM)
        assert ask(worker, Admit(tmp_path / "in.png", tmp_path / "out.png")) == Verdict.DONE
        worker.communicate(timeout=20)


def test_one_line_for_one_job(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encoded(quadrants(), "PNG"))
    with started() as worker:
        for source, verdict in (("in.png", Verdict.DONE), ("none.png", Verdict.FAILED), ("in.png", Verdict.DONE)):
            assert ask(worker, Admit(tmp_path / source, tmp_path / "out.png")) == verdict
        worker.communicate(timeout=20)


def test_an_orphan_dies_in_the_middle_of_a_job(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    parent = subprocess.Popen((sys.executable, "-c", PARENT, str(pipe)), stdout=subprocess.PIPE)
    with parent, pipe.open("wb", 0):  # opens when the worker reads
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        ended, _, _ = select.select([worker], [], [], 20)
        os.close(worker)
    assert ended


async def test_it_knows_none_of_the_servers_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_JWT_SECRET", "not for the worker")
    processes = PictureProcesses(1)
    await processes.start()
    (tmp_path / "in.png").write_bytes(encoded(quadrants(), "PNG"))
    await processes.admit(tmp_path / "in.png", tmp_path / "out.png")
    (pid,) = processes.pids
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    limits = Path(f"/proc/{pid}/limits").read_text()
    await processes.stop()
    assert b"SECRET" not in environment
    assert b"OMP_NUM_THREADS=1" in environment
    assert ["Max", "core", "file", "size", "0", "0", "bytes"] in [line.split() for line in limits.splitlines()]
    assert ["Max", "file", "size", *["536870912"] * 2, "bytes"] in [line.split() for line in limits.splitlines()]


@pytest.mark.parametrize(
    "job", [Admit(Path("/a b/ü\n.jpg"), Path("/c.png")), Clean(Path("/图.jpg"), Path("/d"), PictureTemplate.WHITE_BG)]
)
def test_a_job_is_one_line(job: Admit | Clean) -> None:
    line = job_line(job)
    assert line.count(b"\n") == 1
    assert read_job(line) == job
