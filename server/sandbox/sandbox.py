"""Local substitutes for the external services: an SMS inbox, and a payment gateway with a cashier page."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from actors.ports import Channel, Clock
from server.http.route import AnyRoute
from server.sandbox.cashier import Cashier
from server.sandbox.gateway import SandboxGateway
from server.sandbox.inbox import Inbox
from server.sandbox.routes import SandboxRoutes
from server.sandbox.trades import Trades


class Sandbox:
    """All simulated services.

    `folder` holds the data of the services; their signing key is derived from `secret`.
    """

    def __init__(self, folder: Path, base_url: str, secret: str, clock: Clock) -> None:
        self._base_url, self._clock = base_url, clock
        self._key = hmac.digest(secret.encode(), b"sandbox payment gateway", hashlib.sha256)
        self._trades = Trades(folder / "trades")
        self._cashier = Cashier(self._trades, f"{base_url}/api/membership/payment-callback", self._key, clock)
        self.inbox = Inbox(folder / "sms", clock)

    def gateway(self, channel: Channel) -> SandboxGateway:
        return SandboxGateway(channel, self._trades, self._base_url, self._key, self._clock)

    def routes(self) -> list[AnyRoute]:
        return SandboxRoutes(self.inbox, self._cashier).routes()

    async def start(self) -> None:
        await self._cashier.start()

    async def stop(self) -> None:
        await self._cashier.stop()
