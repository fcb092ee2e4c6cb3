"""A real sender that is connected to a fake provider, and its log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from structlog.testing import capture_logs
from structlog.typing import EventDict, Processor

from actors.ports import SmsSender
from tests.server.gateways.sms.fake_provider import CODE, MINUTES, PHONE, FakeProvider

TIMEOUT_SECONDS = 60.0  # a sender that hangs fails the test


class ProviderModule(Protocol):
    """What the module of each fake provider offers."""

    def provider(self) -> FakeProvider: ...

    def sender(self, base: str, seconds: float, **settings: object) -> SmsSender: ...


@dataclass(frozen=True, slots=True)
class ConnectedSender:
    provider: FakeProvider
    sender: SmsSender
    log: list[EventDict]

    async def send(self) -> None:
        await self.sender.send(PHONE, CODE, MINUTES)

    @property
    def levels(self) -> list[str]:
        return [line["log_level"] for line in self.log]


@asynccontextmanager
async def connected_sender(
    module: ProviderModule,
    *,
    listening: bool = True,
    seconds: float = TIMEOUT_SECONDS,
    processors: tuple[Processor, ...] = (),
    **settings: object,
) -> AsyncIterator[ConnectedSender]:
    """Create a sender and its provider. `settings` override the defaults; `processors` see each log line first."""
    provider = module.provider()
    sender = module.sender(provider.base, seconds, **settings)
    try:
        if listening:
            await provider.listen()
        with capture_logs(processors) as log:
            yield ConnectedSender(provider, sender, log)
    finally:
        await sender.close()
        await provider.stop()
