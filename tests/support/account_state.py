"""The state of a user's account, to compare before and after a request, and pictures stored without an upload."""

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


async def store_picture(server: LocalServer, user: ApiUser) -> str:
    """Put a file where an upload would be stored, and return the address to create a task with."""
    target = (await server.get("/api/media/sts?fileName=photo.png", user=user)).data
    path = server.data / "pictures" / target["key"]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"stands for an accepted picture")
    return str(target["inputImageUrl"])


def task_body(url: str, **fields: object) -> dict[str, object]:
    """Return the body of a request to create a task."""
    return {"type": "basic_clean", "inputImageUrl": url, **fields}
