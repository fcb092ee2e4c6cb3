"""Moving the clock of a server, and what a user sees of the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.server.sandbox.notifications import Buyer
from tests.support.server import Api, ApiUser, LocalServer

HOUR, DAY = 3_600, 86_400


async def advance(server: Api, seconds: int) -> Any:
    """Move the clock and return the answer."""
    return (await server.post("/sandbox/clock", {"advanceSeconds": seconds})).data


async def offset(server: Api) -> int:
    return int((await server.get("/sandbox/clock")).data["offsetSeconds"])


async def wait_until_moved(server: Api, seconds: int = 1) -> int:
    """Wait until the clock has been moved by at least so many seconds, and return by how many."""
    while (moved := await offset(server)) < seconds:
        pass
    return moved


@dataclass(frozen=True, slots=True)
class Account:
    """What a user has after all: the ledger entries as (kind, amount, time), the states of all orders, the quota."""

    entries: list[tuple[str, int, str]]
    orders: list[str]
    quota: Any


async def read_account(server: LocalServer, user: ApiUser) -> Account:
    """Read the account of a user, who logs in again because a token is valid for seven days only."""
    user = await server.log_in(user.phone)
    entries = (await server.get("/api/quota/ledger?limit=100", user=user)).data["entries"]
    orders = (await server.get("/api/membership/orders?limit=100", user=user)).data["orders"]
    quota = (await server.get("/api/quota", user=user)).data
    return Account(
        [(entry["kind"], entry["amount"], entry["createdAt"]) for entry in reversed(entries)],
        [order["status"] for order in orders],
        quota,
    )


async def order_status(server: LocalServer, buyer: Buyer) -> str:
    """Return the stored status of the newest order of a buyer."""
    return (await read_account(server, buyer.user)).orders[0]
