"""The worker process without a pool: its environment, its protocol, and when it ends."""

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
from server.gateways.pictures.protocol import Admit, Clean, JobStatus, parse_job, parse_result, serialize_job
from tests.server.gateways.pictures.images import quadrants
from tests.support.pictures import encode_image

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


def start_worker() -> subprocess.Popen[bytes]:
    worker = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    return worker


def run_job(worker: subprocess.Popen[bytes], job: Admit) -> JobStatus:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(serialize_job(job))
    worker.stdin.flush()
    return parse_result(worker.stdout.readline()).status


def test_a_worker_ends_when_stdin_ends() -> None:
    with start_worker() as worker:
        output, _ = worker.communicate(timeout=20)
        assert output == b""
        assert worker.returncode == 0


def test_a_worker_ignores_the_signals_of_its_process_group(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encode_image(quadrants(), "PNG"))
    with start_worker() as worker:
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGTERM)
        assert run_job(worker, Admit(tmp_path / "in.png", tmp_path / "out.png")) == JobStatus.DONE
        worker.communicate(timeout=20)


def test_a_worker_writes_one_line_for_each_job(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encode_image(quadrants(), "PNG"))
    with start_worker() as worker:
        for source, status in (("in.png", JobStatus.DONE), ("none.png", JobStatus.FAILED), ("in.png", JobStatus.DONE)):
            assert run_job(worker, Admit(tmp_path / source, tmp_path / "out.png")) == status
        worker.communicate(timeout=20)


def test_a_worker_whose_parent_dies_ends_during_its_job(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    parent = subprocess.Popen((sys.executable, "-c", PARENT, str(pipe)), stdout=subprocess.PIPE)
    with parent, pipe.open("wb", 0):  # open() returns when the worker reads
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        ended, _, _ = select.select([worker], [], [], 20)
        os.close(worker)
    assert ended


async def test_a_worker_inherits_no_secrets_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_JWT_SECRET", "not for the worker")
    processes = PictureProcesses(1)
    await processes.start()
    (tmp_path / "in.png").write_bytes(encode_image(quadrants(), "PNG"))
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
def test_a_job_is_serialized_as_one_line(job: Admit | Clean) -> None:
    line = serialize_job(job)
    assert line.count(b"\n") == 1
    assert parse_job(line) == job
