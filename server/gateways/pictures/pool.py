"""PictureProcesses: the picture work as the server sees it, behind actors.ports.PictureWorkers."""

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
from server.gateways.pictures.protocol import OUTPUTS, Admit, Answer, Clean, Verdict
from server.gateways.pictures.reasons import Problem, Refusal

JOBS_PER_PROCESS = 200
"""After as many a process is replaced, which bounds what any leak can come to."""
_RETRY_AFTER = 5  # seconds, about what a picture or two take

_log = structlog.stdlib.get_logger("darkroom.pictures")


class PictureProcesses:
    """Up to `count` worker processes, started when first needed, one job at a time each.

    `memory_bytes` bounds the address space of a process and `seconds` the time of a job; `waiting` jobs may wait beyond
    those that run. `command` starts a worker (a frozen binary has no `-m`; `-P` keeps a
    stranger's ./server.py out of it); the memory limit is added to it.
    """

    def __init__(
        self,
        count: int,
        *,
        memory_bytes: int = 2 * 1024**3,
        seconds: float = 30.0,
        waiting: int = 32,
        command: Sequence[str] = (sys.executable, "-P", "-m", "server.gateways.pictures.worker"),
    ) -> None:
        self._count = count
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._command = command
        self._most = count + waiting
        self._taken = 0
        self._turn = asyncio.Semaphore(count)
        self._alive: set[PictureProcess] = set()
        self._idle: list[PictureProcess] = []
        self._stopping = True

    @property
    def pids(self) -> list[int]:
        """The processes alive, for the operator."""
        return [process.pid for process in self._alive]

    async def start(self) -> None:
        """Accept jobs. Processes start with the first of them."""
        self._stopping = False

    async def stop(self) -> None:
        """Kill every process and wait until all are reaped. Jobs in flight end with Overloaded."""
        self._stopping = True
        for process in self._alive:
            process.kill()
        for _ in range(self._count):  # every job is over, one that was still starting its process included
            await self._turn.acquire()
        await asyncio.gather(*(process.gone for process in self._alive))
        self._idle.clear()
        for _ in range(self._count):
            self._turn.release()

    async def admit(self, source: Path, target: Path) -> None:
        """See actors.ports.PictureWorkers."""
        answer = await self._answer(Admit(source, target))
        match answer.verdict:
            case Verdict.DONE:
                return
            case Verdict.TOO_LARGE:
                raise TooLarge(limit=answer.word)
            case Verdict.NOT_AN_IMAGE:
                raise NotAnImage(problem=answer.word)
            case _:
                raise NotAnImage(problem=Problem.UNREADABLE)

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        """See actors.ports.PictureWorkers."""
        answer = await self._answer(Clean(source, folder, template))
        match answer.verdict:
            case Verdict.DONE:
                return [folder / name for name in OUTPUTS[template]]
            case Verdict.TOO_LARGE | Verdict.NOT_AN_IMAGE:
                raise PictureRefused(Refusal.UNREADABLE)
            case _:
                raise PictureRefused(answer.word)

    async def _answer(self, job: Admit | Clean) -> Answer:
        if self._stopping or self._taken >= self._most:
            raise Overloaded(retry_after=_RETRY_AFTER)
        self._taken += 1
        try:
            async with self._turn:
                answer = await self._carry_out(job)
        finally:
            self._taken -= 1
        if answer.detail:
            _log.warning(
                "a picture job went wrong",
                job=repr(job),
                verdict=answer.verdict.value,
                word=answer.word,
                detail=answer.detail,
            )
        if (self._stopping and answer.verdict is Verdict.FAILED) or answer.verdict is Verdict.NO_ROOM:
            raise Overloaded(retry_after=_RETRY_AFTER)
        return answer

    async def _carry_out(self, job: Admit | Clean, *, once_more: bool = True) -> Answer:
        process = await self._process()
        try:
            answer = await process.carry_out(job, self._seconds)
        except TimeoutError:
            answer = Answer(Verdict.FAILED, Refusal.TIME_LIMIT, f"killed after {self._seconds} s")
        except ProcessLost as fault:
            # A SIGKILL that is not ours is the kernel's or an operator's. Only the second one is laid to the picture.
            if fault.status == -signal.SIGKILL and once_more and not self._stopping:
                return await self._carry_out(job, once_more=False)
            word = Refusal.MEMORY_LIMIT if fault.status == -signal.SIGKILL else Refusal.CRASHED
            answer = Answer(Verdict.FAILED, word, str(fault))
        except BaseException:
            process.kill()  # the caller was cancelled: the answer would meet the next job
            raise
        if answer.verdict is Verdict.FAILED or process.jobs >= JOBS_PER_PROCESS:
            process.kill()
        else:
            self._idle.append(process)
        return answer

    async def _process(self) -> PictureProcess:
        if self._stopping:
            raise Overloaded(retry_after=_RETRY_AFTER)
        while self._idle:
            process = self._idle.pop()
            if not process.gone.done():
                return process
        try:
            return await self._started()
        except (ProcessLost, TimeoutError, OSError) as fault:
            if not self._stopping:
                _log.error("a picture process did not start", fault=repr(fault))
            raise Overloaded(retry_after=_RETRY_AFTER) from fault

    async def _started(self) -> PictureProcess:
        process = await PictureProcess.spawn(self._command, self._memory_bytes)
        self._alive.add(process)
        process.gone.add_done_callback(lambda _: self._alive.discard(process))
        try:
            if self._stopping:
                raise ProcessLost(None)
            await process.ready()
        except BaseException:
            process.kill()
            raise
        return process
