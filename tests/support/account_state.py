"""What a person has, compared before and after a refusal; and pictures put in place without a worker's time."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.server import Edge, Person


@dataclass(frozen=True, slots=True)
class Holdings:
    remaining: int
    ledger: list[tuple[str, int, int]]
    tasks: list[tuple[str, str]]
    orders: list[tuple[str, str]]


async def holdings(edge: Edge, who: Person) -> Holdings:
    tasks = (await edge.get("/api/task/list?limit=100", who=who)).data
    orders = (await edge.get("/api/membership/orders?limit=100", who=who)).data
    assert tasks["total"] <= 100 and orders["total"] <= 100, "all of it is on one page"
    return Holdings(
        remaining=await edge.remaining(who),
        ledger=await edge.ledger(who),
        tasks=[(task["id"], task["status"]) for task in tasks["tasks"]],
        orders=[(order["orderId"], order["status"]) for order in orders["orders"]],
    )


async def placed(edge: Edge, who: Person) -> str:
    """The address of a file that lies where an upload would have put it."""
    place = (await edge.get("/api/media/sts?fileName=photo.png", who=who)).data
    path = edge.data / "pictures" / place["key"]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"stands for a picture that was admitted")
    return str(place["inputImageUrl"])


def creation(url: str, **fields: object) -> dict[str, object]:
    return {"type": "basic_clean", "inputImageUrl": url, **fields}
