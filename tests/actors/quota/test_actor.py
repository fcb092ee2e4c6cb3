"""The quota actor over a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from actors.errors import NotMember
from actors.ids import new_id
from actors.quota.actor import EXPIRE_BATCH, Quota
from actors.quota.commands import Adjust, Charge, Expire, Refund
from actors.quota.messages import Balance, ExpireDueMemberships, GetBalance, GetLedger
from actors.schedule import GetNextDue
from storage.auth import signup_gifts, users
from storage.auth.users import User
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.quota import accounts
from storage.quota.accounts import Account
from storage.quota.adjustments import Adjustment
from storage.task import queue, tasks, transitions
from storage.task.tasks import FailedTask, NewTask, Task, TaskStatus
from tests.support.invariants import audit_and_close
from tests.support.server import ManualClock


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path)
    for name in ("u", "v"):
        await database.write(partial(users.add, user=User(name, name, 0)))
    yield database
    await audit_and_close(database)


@pytest.fixture
async def quota(db: Database) -> AsyncIterator[Quota]:
    actor = Quota(db, ManualClock())
    actor.start()
    await actor.ask(Adjust(Adjustment("start", "u", "initial balance", 0), 100))
    yield actor
    await actor.stop()


def charge(user: str = "u", amount: int = 1) -> Charge:
    return Charge(NewTask(new_id(), user, "basic_clean", "input", {}, 0), amount)


def set_expiry(user: str, moment: int) -> Callable[[Connection], object]:
    """Return a transaction that sets the end of a user's membership."""
    return lambda c: c.execute("UPDATE accounts SET expires_at = ? WHERE user_id = ?", (moment, user)).close()


async def load(db: Database, task_id: str) -> Task:
    return (await db.read(lambda connection: tasks.load(connection, [task_id])))[task_id]


async def test_a_thousand_concurrent_charges_spend_the_balance_and_no_more(db: Database, quota: Quota) -> None:
    outcomes = await asyncio.gather(*(quota.ask(charge()) for _ in range(1000)), return_exceptions=True)
    accepted = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(accepted) == 100
    assert sum(isinstance(outcome, NotMember) for outcome in outcomes) == 900, "an empty balance without a membership"
    assert sorted(receipt.balance for receipt in accepted) == list(range(100))
    assert await quota.ask(GetBalance("u")) == Balance(0, False, None)
    count = await db.read(lambda connection: connection.execute("SELECT COUNT(*) FROM tasks").fetchone()[0])
    assert count == 100


async def test_a_task_fails_and_is_refunded_in_one_transaction(db: Database, quota: Quota) -> None:
    task_id = (await quota.ask(charge(amount=3))).reference
    receipt = await quota.ask(Refund(FailedTask(task_id, "u", "no_garment")))
    assert receipt is not None and receipt.balance == 100
    task = await load(db, task_id)
    assert (task.status, task.error) == (TaskStatus.FAILED, "no_garment")


async def test_one_of_many_concurrent_refunds_wins(quota: Quota) -> None:
    task_id = (await quota.ask(charge())).reference
    refunds = [Refund(FailedTask(task_id, "u", f"reason {n}")) for n in range(50)]
    receipts = await asyncio.gather(*map(quota.ask, refunds))
    assert sum(receipt is not None for receipt in receipts) == 1
    assert (await quota.ask(GetBalance("u"))).remaining == 100


async def test_a_task_gets_one_final_state_when_success_and_failure_compete(db: Database, quota: Quota) -> None:
    for _ in range(20):
        task_id = (await quota.ask(charge())).reference
        receipt, won = await asyncio.gather(
            quota.ask(Refund(FailedTask(task_id, "u", "late"))),
            db.write(lambda c, name=task_id: transitions.win_success(c, name, ["x.png"], None, 0)),  # type: ignore[misc]
        )
        assert (receipt is None) == won
        assert (await load(db, task_id)).status is (TaskStatus.SUCCESS if won else TaskStatus.FAILED)


async def test_a_worker_without_the_lease_cannot_end_the_task(db: Database, quota: Quota) -> None:
    task_id = (await quota.ask(charge())).reference
    await db.write(lambda c: queue.claim(c, "basic_clean", 1, 0, 10))
    await db.write(lambda c: queue.take_over(c, task_id, 0, 10))
    assert await quota.ask(Refund(FailedTask(task_id, "u", "late", attempt=1))) is None
    assert not await db.write(lambda c: transitions.win_success(c, task_id, ["x.png"], 1, 0))
    assert await quota.ask(Refund(FailedTask(task_id, "u", "mine", attempt=2))) is not None


async def test_a_command_that_makes_the_transaction_fail_fails_alone(quota: Quota) -> None:
    # A user who does not exist violates the foreign key, which makes the insert of the whole batch fail.
    unknown_user = Adjust(Adjustment("a1", "nobody", "unknown user", 0), 5)
    outcomes = await asyncio.gather(
        quota.ask(charge()), quota.ask(unknown_user), quota.ask(charge()), return_exceptions=True
    )
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert (await quota.ask(GetBalance("u"))).remaining == 98


async def test_the_pages_of_the_ledger_are_complete_and_in_order(quota: Quota) -> None:
    charged = [(await quota.ask(charge())).reference for _ in range(5)]
    first = await quota.ask(GetLedger("u", 3))
    rest = await quota.ask(GetLedger("u", 3, first.next))
    seen = [entry.reference for entry in (*first.entries, *rest.entries)]
    assert seen == [*reversed(charged), "start"] and rest.next is None


async def test_an_ended_membership_has_no_balance_even_before_it_is_closed(db: Database, quota: Quota) -> None:
    await db.write(set_expiry("u", ManualClock().now()))
    assert await quota.ask(GetBalance("u")) == Balance(0, False, None)
    await quota.ask(Expire("u"))
    entries = (await quota.ask(GetLedger("u", 1))).entries
    assert (entries[0].amount, entries[0].balance) == (-100, 0)


async def test_only_ended_memberships_are_closed(db: Database, quota: Quota) -> None:
    now = ManualClock().now()
    await quota.ask(Adjust(Adjustment("gift", "v", "initial balance", 0), 5))
    await db.write(set_expiry("u", now))
    await db.write(set_expiry("v", now + 1))
    await quota.ask(ExpireDueMemberships())
    stored = await db.read(lambda connection: accounts.load(connection, ["u", "v"]))
    assert {user: (account.balance, account.expires_at) for user, account in stored.items()} == {
        "u": (0, 0),
        "v": (5, now + 1),
    }
    assert [e.amount for e in (await quota.ask(GetLedger("u", 5))).entries] == [-100, 100]


async def test_all_memberships_that_end_at_the_same_time_are_closed_together(db: Database, quota: Quota) -> None:
    names = [f"member {n}" for n in range(2 * EXPIRE_BATCH)]

    def add_members(connection: Connection) -> None:
        for name in names:
            users.add(connection, User(name, name, 0))
        accounts.save(connection, [Account(name, expires_at=2) for name in names])

    await db.write(add_members)
    assert await quota.ask(GetNextDue()) == 2
    await quota.ask(ExpireDueMemberships())
    assert await quota.ask(GetNextDue()) is None


async def test_the_next_time_is_that_of_the_earliest_end_or_gift(db: Database, quota: Quota) -> None:
    await db.write(set_expiry("u", 5000))
    await db.write(lambda connection: signup_gifts.add(connection, "v", 10, now=3000))
    assert [await quota.ask(GetNextDue(after)) for after in (0, 2999, 3000, 4999, 5000)] == [
        *(3000, 3000, 5000, 5000, None),
    ]
