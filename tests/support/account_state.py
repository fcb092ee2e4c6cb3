"""The state of a user's account, to compare before and after a request."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.server import ApiUser, LocalServer


@dataclass(frozen=True, slots=True)
class AccountState:
    """`ledger` has (kind, amount, balance), `tasks` and `orders` have (id, status)."""

    remaining: int
    ledger: list[tuple[str, int, int]]
    tasks: list[tuple[str, str]]
    orders: list[tuple[str, str]]


async def account_state(server: LocalServer, user: ApiUser) -> AccountState:
    tasks = (await server.get("/api/task/list?limit=100", user=user)).data
    orders = (await server.get("/api/membership/orders?limit=100", user=user)).data
    assert tasks["total"] <= 100 and orders["total"] <= 100, "everything is on one page"
    return AccountState(
        remaining=await server.remaining(user),
        ledger=await server.ledger(user),
        tasks=[(task["id"], task["status"]) for task in tasks["tasks"]],
        orders=[(order["orderId"], order["status"]) for order in orders["orders"]],
    )
