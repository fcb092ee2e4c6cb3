"""The base class of every section of the settings.

The model of a section lives with what it configures: a domain (actors/auth/settings.py) or a gateway
(server/gateways/sms/settings.py). `server.settings` puts the sections together.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

Problem = tuple[str, str]
"""A key, relative to its section, and what is wrong with its value: a predicate such as "must not be blank"."""


class Section(BaseModel):
    """A section of the settings: immutable, and unknown keys are refused.

    A check that concerns one value belongs to the type of that value. What concerns several values, or production
    only, is reported by the two methods below. No problem may repeat a value that could be secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def problems(self) -> Iterator[Problem]:
        """Yield why these values cannot be used together, in any mode."""
        yield from ()

    def production_problems(self) -> Iterator[Problem]:
        """Yield why these values are not safe enough for production."""
        yield from ()
