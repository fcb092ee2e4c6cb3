"""Why a picture is refused. The HTTP layer turns these keys into messages; the values are stored and never change."""

from __future__ import annotations

from enum import StrEnum


class UploadProblem(StrEnum):
    """Why an upload is not accepted: the `problem` of NotAnImage."""

    NOT_JPEG_OR_PNG = "not_jpeg_or_png"
    """The content is neither JPEG nor PNG, whatever the file name says."""
    ANIMATED = "animated"
    """The file is a PNG with more than one frame."""
    TRUNCATED = "truncated"
    """The file ends before the picture does, for example after an interrupted upload."""
    CORRUPT = "corrupt"
    """The file begins as a JPEG or PNG but cannot be decoded."""
    TOO_SMALL = "too_small"
    """One side is shorter than decode.MIN_SIDE pixels."""
    UNREADABLE = "unreadable"
    """Reading the file exceeded the time or memory limit of a job, or crashed the worker process."""


class RefusalReason(StrEnum):
    """Why no good result can be made of a picture: the `reason` of PictureRefused."""

    NO_GARMENT = "no_garment"
    """Nothing differs from the background."""
    FILLS_FRAME = "fills_frame"
    """The photo shows too little background to separate the garment from it."""
    SCATTERED = "scattered"
    """The photo shows many objects of similar size, and none of them is clearly the garment."""
    UNCLEAR_EDGE = "unclear_edge"
    """The garment has the colours of its background, so that its outline cannot be determined."""
    UNREADABLE = "unreadable"
    """The file cannot be decoded."""
    TIME_LIMIT = "time_limit"
    """The job exceeded its time limit and its process was killed."""
    MEMORY_LIMIT = "memory_limit"
    """The job needed more memory than the limit of a worker process."""
    CRASHED = "crashed"
    """The job failed with an unexpected error, which is in the log."""
