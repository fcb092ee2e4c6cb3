"""What the pool and a worker process say to each other: one JSON object a line, one answer for each job."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from actors.ports import PictureTemplate

READY = b"ready"
"""The line a worker writes once, when its libraries are loaded."""

OUTPUTS: dict[PictureTemplate, tuple[str, ...]] = {
    PictureTemplate.MATTING: ("matting.png",),
    PictureTemplate.WHITE_BG: ("white-bg.png",),
    PictureTemplate.ENHANCED: ("enhanced.png",),
    PictureTemplate.ALL: ("matting.png", "white-bg.png", "enhanced.png"),
}
"""The files a template makes, in the order they are listed on the wire."""


@dataclass(frozen=True, slots=True)
class Admit:
    """Re-encode `source` as `target`."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Clean:
    """Cut the garment out of `source`, the results into `folder`."""

    source: Path
    folder: Path
    template: PictureTemplate


class Verdict(StrEnum):
    DONE = "done"
    NOT_AN_IMAGE = "not_an_image"  # word: a Problem
    TOO_LARGE = "too_large"  # word: the limit, with its unit
    REFUSED = "refused"  # word: a Refusal
    FAILED = "failed"  # word: memory_limit or crashed
    NO_ROOM = "no_room"  # the disk is full, which says nothing about the picture


@dataclass(frozen=True, slots=True)
class Answer:
    """How a job ended. `word` refines the verdict; `detail` is for the log (a traceback), never for a person."""

    verdict: Verdict
    word: str = ""
    detail: str = ""


def job_line(job: Admit | Clean) -> bytes:
    fields = {name: str(value) for name, value in asdict(job).items()}
    return json.dumps({"kind": type(job).__name__, **fields}).encode() + b"\n"


def read_job(line: bytes) -> Admit | Clean:
    fields = json.loads(line)
    if fields["kind"] == "Admit":
        return Admit(Path(fields["source"]), Path(fields["target"]))
    return Clean(Path(fields["source"]), Path(fields["folder"]), PictureTemplate(fields["template"]))


def answer_line(answer: Answer) -> bytes:
    return json.dumps(asdict(answer)).encode() + b"\n"


def read_answer(line: bytes) -> Answer:
    """Raises ValueError, KeyError or TypeError when a worker says something else."""
    fields = json.loads(line)
    return Answer(Verdict(fields["verdict"]), str(fields["word"]), str(fields["detail"]))
