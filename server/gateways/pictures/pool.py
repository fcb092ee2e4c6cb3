"""PictureProcesses: the pool of worker processes behind actors.ports.PictureWorkers."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from actors.errors import NotAnImage, Overloaded, TooLarge
from actors.ports import PictureRefused, PictureTemplate
from server.gateways.pictures.process import PictureProcess, ProcessLost
from server.gateways.pictures.protocol import OUTPUT_FILES, Admit, Clean, Job, JobResult, JobStatus
from server.gateways.pictures.reasons import RefusalReason, UploadProblem

JOBS_PER_PROCESS = 200
"""A process is replaced after this many jobs, so that a memory leak cannot grow without limit."""
_RETRY_AFTER = 5  # seconds, about the time of one or two jobs

_log = structlog.stdlib.get_logger("darkroom.pictures")


class PictureProcesses:
    """Up to `count` worker processes, started on demand; each runs one job at a time.

    `memory_bytes` limits the address space of a process and `seconds` the time of a job; up to `max_waiting` jobs may
    wait for a process. `command` starts a worker, and the memory limit is appended to it. It is a parameter because a
    frozen binary has no `-m`; `-P` prevents Python from importing a foreign ./server.py of the current folder.
    """

    def __init__(
        self,
        count: int,
        *,
        memory_bytes: int = 2 * 1024**3,
        seconds: float = 30.0,
        max_waiting: int = 32,
        command: Sequence[str] = (sys.executable, "-P", "-m", "server.gateways.pictures.worker"),
    ) -> None:
        self._count = count
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._command = command
        self._max_in_flight = count + max_waiting
        self._in_flight = 0  # jobs running and waiting
        self._slots = asyncio.Semaphore(count)
        self._alive: set[PictureProcess] = set()
        self._idle: list[PictureProcess] = []
        self._stopping = True

    @property
    def pids(self) -> list[int]:
        """The ids of the running processes."""
        return [process.pid for process in self._alive]

    async def start(self) -> None:
        """Accept jobs. The first process starts with the first job."""
        self._stopping = False

    async def stop(self) -> None:
        """Kill every process and wait until all are reaped. Jobs in flight end with Overloaded."""
        self._stopping = True
        for process in self._alive:
            process.kill()
        for _ in range(self._count):  # all slots are free when every job has ended, also one that starts a process
            await self._slots.acquire()
        await asyncio.gather(*(process.exited for process in self._alive))
        self._idle.clear()
        for _ in range(self._count):
            self._slots.release()

    async def admit(self, source: Path, target: Path) -> None:
        """See actors.ports.PictureWorkers."""
        result = await self._submit(Admit(source, target))
        match result.status:
            case JobStatus.DONE:
                return
            case JobStatus.TOO_LARGE:
                raise TooLarge(limit=result.reason)
            case JobStatus.NOT_AN_IMAGE:
                raise NotAnImage(problem=result.reason)
            case _:
                raise NotAnImage(problem=UploadProblem.UNREADABLE)

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        """See actors.ports.PictureWorkers."""
        result = await self._submit(Clean(source, folder, template))
        match result.status:
            case JobStatus.DONE:
                return [folder / name for name in OUTPUT_FILES[template]]
            case JobStatus.TOO_LARGE | JobStatus.NOT_AN_IMAGE:
                raise PictureRefused(RefusalReason.UNREADABLE)
            case _:
                raise PictureRefused(result.reason)

    async def _submit(self, job: Job) -> JobResult:
        """Wait for a free slot and run the job. Raises Overloaded."""
        if self._stopping or self._in_flight >= self._max_in_flight:
            raise Overloaded(retry_after=_RETRY_AFTER)
        self._in_flight += 1
        try:
            async with self._slots:
                result = await self._run_job(job)
        finally:
            self._in_flight -= 1
        if result.detail:
            _log_failure(job, result)
        if (self._stopping and result.status is JobStatus.FAILED) or result.status is JobStatus.DISK_FULL:
            raise Overloaded(retry_after=_RETRY_AFTER)
        return result

    async def _run_job(self, job: Job, *, retry_if_killed: bool = True) -> JobResult:
        process = await self._acquire_process()
        try:
            result = await process.run_job(job, self._seconds)
        except TimeoutError:
            result = JobResult(JobStatus.FAILED, RefusalReason.TIME_LIMIT, f"killed after {self._seconds} s")
        except ProcessLost as fault:
            killed = fault.exit_status == -signal.SIGKILL
            # The pool did not send this SIGKILL: it came from the operating system or an operator. The picture is
            # considered the cause only when it happens a second time.
            if killed and retry_if_killed and not self._stopping:
                return await self._run_job(job, retry_if_killed=False)
            reason = RefusalReason.MEMORY_LIMIT if killed else RefusalReason.CRASHED
            result = JobResult(JobStatus.FAILED, reason, str(fault))
        except BaseException:
            process.kill()  # the caller was cancelled; otherwise the next job would receive the result of this one
            raise
        if result.status is JobStatus.FAILED or process.job_count >= JOBS_PER_PROCESS:
            process.kill()
        else:
            self._idle.append(process)
        return result

    async def _acquire_process(self) -> PictureProcess:
        """Return an idle process or start one. Raises Overloaded."""
        if self._stopping:
            raise Overloaded(retry_after=_RETRY_AFTER)
        while self._idle:
            process = self._idle.pop()
            if not process.exited.done():
                return process
        try:
            return await self._start_process()
        except (ProcessLost, TimeoutError, OSError) as fault:
            if not self._stopping:
                _log.error("a picture process did not start", fault=repr(fault))
            raise Overloaded(retry_after=_RETRY_AFTER) from fault

    async def _start_process(self) -> PictureProcess:
        process = await PictureProcess.spawn(self._command, self._memory_bytes)
        self._alive.add(process)
        process.exited.add_done_callback(lambda _: self._alive.discard(process))
        try:
            if self._stopping:
                raise ProcessLost(None)
            await process.wait_until_ready()
        except BaseException:
            process.kill()
            raise
        return process


def _log_failure(job: Job, result: JobResult) -> None:
    _log.warning(
        "a picture job failed",
        job=repr(job),
        verdict=result.status.value,
        word=result.reason,
        detail=result.detail,
    )
