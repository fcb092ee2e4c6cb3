"""The worker process: it reads one job per line, writes one result per line, and ends when its parent ends.

It sets its own limits of memory and file size. Its environment holds no secrets (see process.py).
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
from server.gateways.pictures.protocol import READY, Admit, Job, JobResult, JobStatus, parse_job, serialize_result
from server.gateways.pictures.reasons import RefusalReason

_MAX_FILE_BYTES = 512 * 1024 * 1024
"""40 MP of incompressible RGBA are 160 MB, so a file of this size can only be an error."""
_MAX_DETAIL_CHARACTERS = 8000  # bounds the length of a result's line


def main() -> None:
    """Run jobs until stdin ends. `argv[1]` is the limit of the address space, in bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    jobs, results = _reserve_stdio()
    _set_limits(int(sys.argv[1]))
    cv2.setNumThreads(1)
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs, waiting), daemon=True).start()
    _write_line(results, READY + b"\n")
    while True:
        _write_line(results, serialize_result(_run_job(parse_job(waiting.get()))))


def _reserve_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Reserve stdin and stdout for the protocol: other code reads /dev/null and prints to stderr."""
    jobs = os.fdopen(os.dup(0), "rb")
    results = os.fdopen(os.dup(1), "wb")
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    os.dup2(2, 1)
    return jobs, results


def _set_limits(memory_bytes: int) -> None:
    if sys.platform != "darwin":  # macOS defines RLIMIT_AS but rejects every value
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would contain a user's picture


def _read_jobs(jobs: BinaryIO, waiting: queue.SimpleQueue[bytes]) -> None:
    """Queue each job. When stdin ends, the parent has closed it or died: exit at once, even during a job."""
    for line in jobs:
        waiting.put(line)
    os._exit(0)


def _write_line(results: BinaryIO, line: bytes) -> None:
    results.write(line)
    results.flush()


def _run_job(job: Job) -> JobResult:
    cv2.setRNGSeed(0)  # the same photo gives the same result, whatever ran before
    try:
        _execute(job)
    except NotAnImage as fault:
        return JobResult(JobStatus.NOT_AN_IMAGE, str(fault.facts["problem"]))
    except TooLarge as fault:
        return JobResult(JobStatus.TOO_LARGE, str(fault.facts["limit"]))
    except PictureRefused as fault:
        return JobResult(JobStatus.REFUSED, fault.reason)
    except Exception as fault:
        return _failed_result(fault)
    return JobResult(JobStatus.DONE)


def _execute(job: Job) -> None:
    if isinstance(job, Admit):
        write_picture(decode(job.source), job.target)
    else:
        clean(job.source, job.folder, job.template)


def _failed_result(fault: Exception) -> JobResult:
    detail = "".join(traceback.format_exception(fault))[-_MAX_DETAIL_CHARACTERS:]
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return JobResult(JobStatus.DISK_FULL, detail=detail)
    if isinstance(fault, MemoryError) or (isinstance(fault, cv2.error) and _is_out_of_memory(fault)):
        return JobResult(JobStatus.FAILED, RefusalReason.MEMORY_LIMIT, detail)
    return JobResult(JobStatus.FAILED, RefusalReason.CRASHED, detail)


def _is_out_of_memory(fault: cv2.error) -> bool:
    """Return whether OpenCV ran out of memory: it reports a code, or the name of the C++ exception."""
    return fault.code == cv2.Error.StsNoMem or "bad_alloc" in str(fault)


if __name__ == "__main__":
    main()
