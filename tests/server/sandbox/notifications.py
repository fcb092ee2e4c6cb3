"""The sandbox gateway's end of a payment: its books and its signed notifications, right ones and forged ones."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import Any

from actors.ports import Notification, PaymentState
from server.sandbox import signed_notification
from server.sandbox.trades import Trade, Trades
from tests.support.server import SECRETS, ApiResponse, LocalServer, User

KEY = hmac.digest(SECRETS["internal"].encode(), b"sandbox payment gateway", hashlib.sha256)
CALLBACK = "/api/membership/payment-callback"


@dataclass(frozen=True, slots=True)
class Buyer:
    """Somebody with a pending order, and the order's trade as it will be when it is paid."""

    person: User
    order: str
    paid: Trade

    async def status(self, server: LocalServer) -> str:
        """The order's status as Darkroom has it, without asking the gateway as GET of one order does."""
        orders = (await server.get("/api/membership/orders?limit=100", user=self.person)).data["orders"]
        return {str(order["orderId"]): str(order["status"]) for order in orders}[self.order]


async def buyer(server: LocalServer, channel: str = "wx", person: User | None = None) -> Buyer:
    person = person or await server.new_user()
    order = (await server.post("/api/membership/purchase", {"channel": channel}, user=person)).data
    trade = await books(server).find(order["orderId"])
    assert trade is not None
    return Buyer(
        person, trade.order_id, replace(trade, state=PaymentState.PAID, transaction_id=f"t{trade.order_id[1:]}")
    )


def books(server: LocalServer) -> Trades:
    """What the gateway knows; changing it tells Darkroom nothing."""
    return Trades(server.data / "sandbox" / "trades")


def signed(server: LocalServer, trade: Trade, *, key: bytes = KEY, later: int = 0, **changes: Any) -> Notification:
    """A notification signed by the gateway, `later` seconds from now; `changes` are what it says differently."""
    return signed_notification.signed(key, replace(trade, **changes), server.clock.now() // 1000 + later)


async def notify(server: LocalServer, notification: Notification, to: str = "/wx", **headers: str) -> ApiResponse:
    sent = {**notification.headers, **headers}
    return await server.post(f"{CALLBACK}{to}", raw=notification.body, headers=sent)


async def assert_pending(server: LocalServer, who: Buyer) -> None:
    assert await who.status(server) == "pending"
    assert await server.ledger(who.person) == []
    assert (await server.get("/api/membership/status", user=who.person)).data["isMember"] is False


async def assert_granted_once(server: LocalServer, who: Buyer) -> None:
    assert await who.status(server) == "paid"
    assert await server.ledger(who.person) == [("grant", 100, 100)]
