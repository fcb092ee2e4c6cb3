"""What the settings of every SMS sender have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator

from actors.settings import Problem, Section
from server.gateways.setting_types import is_encrypted


def _check_template(text: str) -> str:
    try:
        text.format(code="000000", minutes=5)
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError("may contain {code} and {minutes}, and no other braces") from None
    return text


MessageTemplate = Annotated[str, AfterValidator(_check_template)]
"""A parameter of a provider's message template. `{code}` and `{minutes}` in it are replaced."""


class SenderSettings(Section):
    """The settings of one sender. They are checked only when `sms.sender` names this sender."""

    required: ClassVar[tuple[str, ...]]
    """The keys without which the sender cannot work."""

    def problems(self) -> Iterator[Problem]:
        for key in self.required:
            if not getattr(self, key):
                yield key, "is required by this sender"


def endpoint_problems(endpoint: str) -> Iterator[Problem]:
    """Yield why this cannot be a provider's endpoint: the provider is called at the root of a host."""
    parts = urlsplit(endpoint)
    if parts.path or parts.query or parts.username is not None:
        yield "endpoint", "must be a host without a path, a query or a user"


def encryption_problems(key: str, url: str) -> Iterator[Problem]:
    """Yield a problem if login codes would travel to this URL without encryption."""
    if not is_encrypted(url):
        yield key, "begins with http://, so login codes could be read by others on the network; use https://"
