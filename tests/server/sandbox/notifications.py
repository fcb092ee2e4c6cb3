"""Orders with their trades in the sandbox gateway, and valid and forged payment notifications."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import Any

from actors.ports import Notification, PaymentState
from server.sandbox import signed_notification
from server.sandbox.trades import Trade, Trades
from tests.support.server import SECRETS, ApiResponse, ApiUser, LocalServer

KEY = hmac.digest(SECRETS["internal"].encode(), b"sandbox payment gateway", hashlib.sha256)
CALLBACK = "/api/membership/payment-callback"


@dataclass(frozen=True, slots=True)
class Buyer:
    """A user with a pending order, and the trade of the order as it will be once it is paid."""

    user: ApiUser
    order: str
    paid: Trade

    async def status(self, server: LocalServer) -> str:
        """Return the order's stored status. GET of a single order would query the gateway; GET of the list does not."""
        orders = (await server.get("/api/membership/orders?limit=100", user=self.user)).data["orders"]
        return {str(order["orderId"]): str(order["status"]) for order in orders}[self.order]


async def create_buyer(server: LocalServer, channel: str = "wx", user: ApiUser | None = None) -> Buyer:
    user = user or await server.new_user()
    order = (await server.post("/api/membership/purchase", {"channel": channel}, user=user)).data
    trade = await trades(server).find(order["orderId"])
    assert trade is not None
    return Buyer(user, trade.order_id, replace(trade, state=PaymentState.PAID, transaction_id=f"t{trade.order_id[1:]}"))


def trades(server: LocalServer) -> Trades:
    """Return the gateway's trades; a change of them sends no notification."""
    return Trades(server.data / "sandbox" / "trades")


def sign(server: LocalServer, trade: Trade, *, key: bytes = KEY, later: int = 0, **changes: Any) -> Notification:
    """Return a notification signed `later` seconds from now, with `changes` to the fields of the trade."""
    return signed_notification.sign(key, replace(trade, **changes), server.clock.now() // 1000 + later)


async def notify(server: LocalServer, notification: Notification, to: str = "/wx", **headers: str) -> ApiResponse:
    all_headers = {**notification.headers, **headers}
    return await server.post(f"{CALLBACK}{to}", raw=notification.body, headers=all_headers)


async def assert_pending(server: LocalServer, buyer: Buyer) -> None:
    assert await buyer.status(server) == "pending"
    assert await server.ledger(buyer.user) == []
    assert (await server.get("/api/membership/status", user=buyer.user)).data["isMember"] is False


async def assert_granted_once(server: LocalServer, buyer: Buyer) -> None:
    assert await buyer.status(server) == "paid"
    assert await server.ledger(buyer.user) == [("grant", 100, 100)]
