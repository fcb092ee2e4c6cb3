"""The settings of picture work: the limits of one picture."""

from __future__ import annotations

from pydantic import Field

from actors.settings import Section


class PictureSettings(Section):
    """The section `[pictures]`. `seconds` limits one picture, `memory_mb` one worker process."""

    seconds: int = Field(30, ge=1, le=90)
    memory_mb: int = Field(2048, ge=512, le=65536)
