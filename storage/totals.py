"""An operator's overview, added up by triggers: reading it costs the same for a thousand tasks and for a billion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storage.engine.connection import Connection
from storage.membership.orders import OrderStatus
from storage.task.tasks import TaskStatus


@dataclass(frozen=True, slots=True)
class Overview:
    """How many there are, by status where there is one; `revenue` of the paid orders in fen."""

    users: int
    tasks: Mapping[TaskStatus, int]
    orders: Mapping[OrderStatus, int]
    revenue: int


def overview(connection: Connection) -> Overview:
    totals: dict[str, int] = dict(connection.execute("SELECT name, amount FROM totals").fetchall())
    return Overview(
        users=totals.get("users", 0),
        tasks={status: totals.get(f"tasks.{status}", 0) for status in TaskStatus},
        orders={status: totals.get(f"orders.{status}", 0) for status in OrderStatus},
        revenue=totals.get("revenue", 0),
    )
