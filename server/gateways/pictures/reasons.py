"""Why a picture is turned away: keys that the edge puts in words."""

from __future__ import annotations

from enum import StrEnum


class Problem(StrEnum):
    """Why an upload is not admitted: the `problem` of NotAnImage."""

    NOT_JPEG_OR_PNG = "not_jpeg_or_png"
    """The content is neither, whatever the name says."""
    ANIMATED = "animated"
    """A PNG with more than one frame."""
    TRUNCATED = "truncated"
    """The file ends before the picture does: an interrupted upload."""
    CORRUPT = "corrupt"
    """It begins as a JPEG or PNG and cannot be decoded."""
    TOO_SMALL = "too_small"
    """A side is shorter than decode.MIN_SIDE pixels."""
    UNREADABLE = "unreadable"
    """Reading it took more time or memory than a picture may take, or broke the reader."""


class Refusal(StrEnum):
    """Why no good result can be made of a picture: the `reason` of PictureRefused."""

    NO_GARMENT = "no_garment"
    """Nothing stands out from the background."""
    FILLS_FRAME = "fills_frame"
    """There is no background around the garment to tell it from."""
    SCATTERED = "scattered"
    """Many things of similar size, none of them the garment."""
    UNCLEAR_EDGE = "unclear_edge"
    """The garment has the colours of its background: its outline would be a guess."""
    UNREADABLE = "unreadable"
    """The file cannot be decoded."""
    TIME_LIMIT = "time_limit"
    """The work took longer than a picture may take; the process was killed."""
    MEMORY_LIMIT = "memory_limit"
    """The work needed more memory than a picture may take."""
    CRASHED = "crashed"
    """The work failed in a way nobody foresaw; the log has it."""
