"""Totals for the operator's overview. Triggers keep them up to date, so reading them never counts rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storage.engine.connection import Connection
from storage.membership.orders import OrderStatus
from storage.task.tasks import TaskStatus


@dataclass(frozen=True, slots=True)
class Overview:
    """Numbers of users, of tasks by status and of orders by status; `revenue` of the paid orders is in fen."""

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
