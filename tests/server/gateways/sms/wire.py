"""A real sender, the provider that it is set to, and what it logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from structlog.testing import capture_logs
from structlog.typing import EventDict, Processor

from actors.ports import SmsSender
from tests.server.gateways.sms.provider import CODE, MINUTES, PHONE, Provider

TIMEOUT_SECONDS = 60.0  # only so that a sender that never gets there fails the test


class Kind(Protocol):
    """What the module of each provider's wire offers."""

    def provider(self) -> Provider: ...

    def sender(self, base: str, seconds: float, **settings: object) -> SmsSender: ...


@dataclass(frozen=True, slots=True)
class Wire:
    provider: Provider
    sender: SmsSender
    log: list[EventDict]

    async def send(self) -> None:
        await self.sender.send(PHONE, CODE, MINUTES)

    @property
    def levels(self) -> list[str]:
        return [line["log_level"] for line in self.log]


@asynccontextmanager
async def wired(
    kind: Kind,
    *,
    listening: bool = True,
    seconds: float = TIMEOUT_SECONDS,
    processors: tuple[Processor, ...] = (),
    **settings: object,
) -> AsyncIterator[Wire]:
    """`settings` override the wire's own; `processors` see each line of the log first."""
    provider = kind.provider()
    sender = kind.sender(provider.base, seconds, **settings)
    try:
        if listening:
            await provider.listen()
        with capture_logs(processors) as log:
            yield Wire(provider, sender, log)
    finally:
        await sender.close()
        await provider.stop()
