"""The simulation for development: an SMS inbox, a payment gateway with a cashier page, a clock that can be moved."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from aiohttp import web

from actors.ports import Channel, Clock
from server.http.route import AnyRoute
from server.sandbox.cashier import Cashier
from server.sandbox.clock import SandboxClock
from server.sandbox.clock_advance import ClockAdvance, DueWork
from server.sandbox.clock_routes import ClockRoutes
from server.sandbox.gateway import SandboxGateway
from server.sandbox.inbox import Inbox
from server.sandbox.routes import SandboxRoutes
from server.sandbox.trades import Trades


class Sandbox:
    """All simulated services, and `clock`, the clock of the whole server: the time of `base_clock` plus an offset.

    `folder` holds the data of the services; their signing key is derived from `secret`. Raises ClockUnreadable.
    """

    def __init__(self, folder: Path, base_url: str, secret: str, base_clock: Clock) -> None:
        self.clock = SandboxClock(base_clock, folder / "clock.json")
        self._base_url = base_url
        self._key = hmac.digest(secret.encode(), b"sandbox payment gateway", hashlib.sha256)
        self._trades = Trades(folder / "trades")
        self._cashier = Cashier(self._trades, f"{base_url}/api/membership/payment-callback", self._key, self.clock)
        self.inbox = Inbox(folder / "sms", self.clock)
        self._clock_advance: ClockAdvance | None = None

    def gateway(self, channel: Channel) -> SandboxGateway:
        return SandboxGateway(channel, self._trades, self._base_url, self._key, self.clock)

    def routes(self, work: DueWork) -> list[AnyRoute]:
        """Return the routes of the sandbox. `work` is done when the clock is moved."""
        self._clock_advance = ClockAdvance(self.clock, work)
        return [
            *SandboxRoutes(self.inbox, self._cashier).routes(),
            *ClockRoutes(self.clock, self._clock_advance).routes(),
        ]

    async def stop_clock(self, _: web.Application) -> None:
        """End an advance of the clock that is running. To be called when the HTTP server begins to stop."""
        if self._clock_advance is not None:
            self._clock_advance.stop()

    async def start(self) -> None:
        await self._cashier.start()

    async def stop(self) -> None:
        await self._cashier.stop()
