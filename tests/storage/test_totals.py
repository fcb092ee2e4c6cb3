"""The stored totals follow every change of the rows that they count."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from storage import totals
from storage.auth import users
from storage.auth.users import User
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.membership import orders
from storage.membership.orders import Order, OrderStatus, PaidOrder
from storage.task import tasks, transitions
from storage.task.tasks import FailedTask, NewTask, TaskFilter, TaskStatus
from storage.totals import Overview
from tests.support.corruption import connect_unchecked, create_seeded_database

TASKS, ORDERS = dict.fromkeys(TaskStatus, 0), dict.fromkeys(OrderStatus, 0)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    """Return a connection to a new, migrated database."""
    await (await Database.open(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "darkroom.sqlite3", isolation_level=None)) as connection:
        yield connection


def order(name: str, amount: int) -> Order:
    return Order(name, "u", "wx", "monthly", amount, 100, 30, True, False, OrderStatus.PENDING, None, 0, 0, None)


def test_the_totals_of_an_empty_database_are_zero(connection: Connection) -> None:
    assert totals.overview(connection) == Overview(0, TASKS, ORDERS, 0)


def test_totals_follow_each_change(connection: Connection) -> None:
    for name in ("u", "v"):
        users.add(connection, User(name, name, 0))
    for o in (order("o1", 100), order("o2", 20), order("o3", 3)):
        orders.add(connection, o)
    orders.win_paid(connection, [PaidOrder(order("o1", 100), "t1"), PaidOrder(order("o2", 20), "t2")], 0)
    orders.finish_unpaid(connection, "o3", OrderStatus.CLOSED, 0)
    tasks.add(connection, [NewTask(f"{n}", "u", "basic_clean", "input", {}, 0) for n in range(5)])
    transitions.win_failed(connection, [FailedTask("0", "u", "late")], 0)
    transitions.win_success(connection, "1", [], None, 0)
    assert totals.overview(connection) == Overview(
        users=2,
        tasks={**TASKS, TaskStatus.PENDING: 3, TaskStatus.FAILED: 1, TaskStatus.SUCCESS: 1},
        orders={**ORDERS, OrderStatus.PAID: 2, OrderStatus.CLOSED: 1},
        revenue=120,
    )


def test_a_users_tasks_are_counted_by_status_and_type(connection: Connection) -> None:
    kinds = ["basic_clean", "basic_clean", "model_pose12"]
    tasks.add(connection, [NewTask(f"{n}", "u", kind, "input", {}, 0) for n, kind in enumerate(kinds)])
    transitions.win_success(connection, "0", [], None, 0)
    filters = [
        TaskFilter("u"),
        TaskFilter("u", TaskStatus.SUCCESS),
        TaskFilter("u", type="basic_clean"),
        TaskFilter("v"),
    ]
    assert [tasks.count(connection, f) for f in filters] == [3, 1, 2, 0]
    assert tasks.count(connection, TaskFilter("u", TaskStatus.PENDING, "basic_clean")) == 1


def test_the_totals_of_a_seeded_database_equal_its_rows(tmp_path: Path) -> None:
    with closing(connect_unchecked(create_seeded_database(tmp_path))) as connection:
        overview = totals.overview(connection)
    assert (overview.users, sum(overview.tasks.values()), overview.tasks[TaskStatus.FAILED]) == (40, 520, 52)
    assert overview.orders == {**ORDERS, OrderStatus.PAID: 42, OrderStatus.REFUNDED: 2, OrderStatus.CLOSED: 4}
