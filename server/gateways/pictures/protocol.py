"""The protocol between the pool and a worker process: one JSON object per line, one result for each job."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from actors.ports import PictureTemplate

READY = b"ready"
"""The line that a worker writes once, when its libraries are loaded."""

OUTPUT_FILES: dict[PictureTemplate, tuple[str, ...]] = {
    PictureTemplate.MATTING: ("matting.png",),
    PictureTemplate.WHITE_BG: ("white-bg.png",),
    PictureTemplate.ENHANCED: ("enhanced.png",),
    PictureTemplate.ALL: ("matting.png", "white-bg.png", "enhanced.png"),
}
"""The files that each template produces, in the order in which the API lists them."""


@dataclass(frozen=True, slots=True)
class Admit:
    """Re-encode `source` as `target`."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Clean:
    """Cut the garment out of `source` and write the results into `folder`."""

    source: Path
    folder: Path
    template: PictureTemplate


Job: TypeAlias = Admit | Clean


class JobStatus(StrEnum):
    DONE = "done"
    NOT_AN_IMAGE = "not_an_image"  # reason: an UploadProblem
    TOO_LARGE = "too_large"  # reason: the limit, with its unit
    REFUSED = "refused"  # reason: a RefusalReason
    FAILED = "failed"  # reason: memory_limit or crashed
    DISK_FULL = "no_room"  # the picture itself may be good


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended. `reason` explains the status; `detail` (a traceback) is for the log, never for a user."""

    status: JobStatus
    reason: str = ""
    detail: str = ""


def serialize_job(job: Job) -> bytes:
    fields = {name: str(value) for name, value in asdict(job).items()}
    return json.dumps({"kind": type(job).__name__, **fields}).encode() + b"\n"


def parse_job(line: bytes) -> Job:
    fields = json.loads(line)
    if fields["kind"] == "Admit":
        return Admit(Path(fields["source"]), Path(fields["target"]))
    return Clean(Path(fields["source"]), Path(fields["folder"]), PictureTemplate(fields["template"]))


def serialize_result(result: JobResult) -> bytes:
    return json.dumps(asdict(result)).encode() + b"\n"


def parse_result(line: bytes) -> JobResult:
    """Parse the line of a result. Raises ValueError, KeyError or TypeError when it is not one."""
    fields = json.loads(line)
    return JobResult(JobStatus(fields["status"]), str(fields["reason"]), str(fields["detail"]))
