"""What a person has, compared before and after a refusal; and pictures put in place without a worker's time."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.server import LocalServer, User


@dataclass(frozen=True, slots=True)
class AccountState:
    remaining: int
    ledger: list[tuple[str, int, int]]
    tasks: list[tuple[str, str]]
    orders: list[tuple[str, str]]


async def account_state(server: LocalServer, user: User) -> AccountState:
    tasks = (await server.get("/api/task/list?limit=100", user=user)).data
    orders = (await server.get("/api/membership/orders?limit=100", user=user)).data
    assert tasks["total"] <= 100 and orders["total"] <= 100, "all of it is on one page"
    return AccountState(
        remaining=await server.remaining(user),
        ledger=await server.ledger(user),
        tasks=[(task["id"], task["status"]) for task in tasks["tasks"]],
        orders=[(order["orderId"], order["status"]) for order in orders["orders"]],
    )


async def store_picture(server: LocalServer, user: User) -> str:
    """The address of a file that lies where an upload would have put it."""
    place = (await server.get("/api/media/sts?fileName=photo.png", user=user)).data
    path = server.data / "pictures" / place["key"]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"stands for a picture that was admitted")
    return str(place["inputImageUrl"])


def task_body(url: str, **fields: object) -> dict[str, object]:
    return {"type": "basic_clean", "inputImageUrl": url, **fields}
