"""The process that touches pictures: reads a job a line, answers a line, and dies with its parent.

It runs under its own limits of memory and file size, and gets no environment worth stealing (see process.py).
"""

from __future__ import annotations

import errno
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from typing import BinaryIO

import cv2

from actors.errors import NotAnImage, TooLarge
from actors.ports import PictureRefused
from server.gateways.pictures.clean import clean
from server.gateways.pictures.decode import decode
from server.gateways.pictures.encode import write_picture
from server.gateways.pictures.protocol import READY, Admit, Answer, Clean, Verdict, answer_line, read_job
from server.gateways.pictures.reasons import Refusal

_LARGEST_FILE = 512 * 1024 * 1024
"""Bytes. 40 MP of incompressible RGBA is 160 MB; anything near this is a mistake."""
_LONGEST_DETAIL = 8000  # characters; an answer is one line of bounded length


def main() -> None:
    """Serve jobs until stdin ends. `argv[1]` is the limit on address space, in bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # sent to the whole group: the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    jobs, answers = _take_protocol()
    _limit(int(sys.argv[1]))
    cv2.setNumThreads(1)
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs, waiting), daemon=True).start()
    _say(answers, READY + b"\n")
    while True:
        _say(answers, answer_line(_answer(read_job(waiting.get()))))


def _take_protocol() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for jobs and answers alone: what else would read or print gets nothing and stderr."""
    jobs = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return jobs, answers


def _limit(memory_bytes: int) -> None:
    if sys.platform != "darwin":  # macOS knows the name and refuses any value
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold somebody's picture


def _listen(jobs: BinaryIO, waiting: queue.SimpleQueue[bytes]) -> None:
    """End of stdin is the parent's death or its wish: end at once, in the middle of a job too."""
    for line in jobs:
        waiting.put(line)
    os._exit(0)


def _say(answers: BinaryIO, line: bytes) -> None:
    answers.write(line)
    answers.flush()


def _answer(job: Admit | Clean) -> Answer:
    cv2.setRNGSeed(0)  # the same photo gives the same picture, whatever ran before
    try:
        _carry_out(job)
    except NotAnImage as fault:
        return Answer(Verdict.NOT_AN_IMAGE, str(fault.facts["problem"]))
    except TooLarge as fault:
        return Answer(Verdict.TOO_LARGE, str(fault.facts["limit"]))
    except PictureRefused as fault:
        return Answer(Verdict.REFUSED, fault.reason)
    except Exception as fault:
        return _failure(fault)
    return Answer(Verdict.DONE)


def _carry_out(job: Admit | Clean) -> None:
    if isinstance(job, Admit):
        write_picture(decode(job.source), job.target)
    else:
        clean(job.source, job.folder, job.template)


def _failure(fault: Exception) -> Answer:
    detail = "".join(traceback.format_exception(fault))[-_LONGEST_DETAIL:]
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return Answer(Verdict.NO_ROOM, detail=detail)
    if isinstance(fault, MemoryError) or (isinstance(fault, cv2.error) and _no_memory(fault)):
        return Answer(Verdict.FAILED, Refusal.MEMORY_LIMIT, detail)
    return Answer(Verdict.FAILED, Refusal.CRASHED, detail)


def _no_memory(fault: cv2.error) -> bool:
    """OpenCV says it by code (its own allocator) or by the name of the C++ exception."""
    return fault.code == cv2.Error.StsNoMem or "bad_alloc" in str(fault)


if __name__ == "__main__":
    main()
