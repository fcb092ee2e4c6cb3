"""The quota actor over a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from actors.errors import NotMember
from actors.ids import new_id
from actors.quota.actor import Adjust, Balance, Charge, Expire, ExpireDue, GetBalance, GetLedger, Quota, Refund
from storage.auth import users
from storage.auth.users import User
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.quota import accounts
from storage.quota.adjustments import Adjustment
from storage.task import tasks
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
    await actor.ask(Adjust(Adjustment("start", "u", "to begin with", 0), 100))
    yield actor
    await actor.stop()


def charge(user: str = "u", amount: int = 1) -> Charge:
    return Charge(NewTask(new_id(), user, "basic_clean", "input", {}, 0), amount)


def ends(user: str, moment: int) -> Callable[[Connection], object]:
    """A transaction after which this person's membership ends then."""
    return lambda c: c.execute("UPDATE accounts SET expires_at = ? WHERE user_id = ?", (moment, user)).close()


async def load(db: Database, task_id: str) -> Task:
    return (await db.read(lambda connection: tasks.load(connection, [task_id])))[task_id]


async def test_a_thousand_charges_at_once_spend_what_there_is_and_no_more(db: Database, quota: Quota) -> None:
    outcomes = await asyncio.gather(*(quota.ask(charge()) for _ in range(1000)), return_exceptions=True)
    accepted = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(accepted) == 100
    assert sum(isinstance(outcome, NotMember) for outcome in outcomes) == 900, "with nothing left and no membership"
    assert sorted(receipt.balance for receipt in accepted) == list(range(100))
    assert await quota.ask(GetBalance("u")) == Balance(0, False, None)
    count = await db.read(lambda connection: connection.execute("SELECT COUNT(*) FROM tasks").fetchone()[0])
    assert count == 100


async def test_a_task_fails_and_is_refunded_in_one_step(db: Database, quota: Quota) -> None:
    task_id = (await quota.ask(charge(amount=3))).reference
    receipt = await quota.ask(Refund(FailedTask(task_id, "u", "no_garment")))
    assert receipt is not None and receipt.balance == 100
    task = await load(db, task_id)
    assert (task.status, task.error) == (TaskStatus.FAILED, "no_garment")


async def test_of_many_refunds_one_wins(quota: Quota) -> None:
    task_id = (await quota.ask(charge())).reference
    refunds = [Refund(FailedTask(task_id, "u", f"reason {n}")) for n in range(50)]
    receipts = await asyncio.gather(*map(quota.ask, refunds))
    assert sum(receipt is not None for receipt in receipts) == 1
    assert (await quota.ask(GetBalance("u"))).remaining == 100


async def test_success_and_failure_race_for_one_final_state(db: Database, quota: Quota) -> None:
    for _ in range(20):
        task_id = (await quota.ask(charge())).reference
        receipt, won = await asyncio.gather(
            quota.ask(Refund(FailedTask(task_id, "u", "late"))),
            db.write(lambda c, name=task_id: tasks.win_success(c, name, ["x.png"], None, 0)),  # type: ignore[misc]
        )
        assert (receipt is None) == won
        assert (await load(db, task_id)).status is (TaskStatus.SUCCESS if won else TaskStatus.FAILED)


async def test_a_worker_that_lost_its_lease_cannot_fail_the_task(db: Database, quota: Quota) -> None:
    task_id = (await quota.ask(charge())).reference
    await db.write(lambda c: tasks.claim(c, "basic_clean", 1, 0, 10))
    await db.write(lambda c: tasks.take_over(c, task_id, 0, 10))
    assert await quota.ask(Refund(FailedTask(task_id, "u", "late", attempt=1))) is None
    assert not await db.write(lambda c: tasks.win_success(c, task_id, ["x.png"], 1, 0))
    assert await quota.ask(Refund(FailedTask(task_id, "u", "mine", attempt=2))) is not None


async def test_a_command_that_breaks_the_batch_fails_alone(quota: Quota) -> None:
    """Somebody who does not exist breaks the foreign key of the whole multi-row insert."""
    nobody = Adjust(Adjustment("a1", "nobody", "a mistake", 0), 5)
    outcomes = await asyncio.gather(quota.ask(charge()), quota.ask(nobody), quota.ask(charge()), return_exceptions=True)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert (await quota.ask(GetBalance("u"))).remaining == 98


async def test_pages_of_the_ledger_follow_each_other(quota: Quota) -> None:
    charged = [(await quota.ask(charge())).reference for _ in range(5)]
    first = await quota.ask(GetLedger("u", 3))
    rest = await quota.ask(GetLedger("u", 3, first.next))
    seen = [entry.reference for entry in (*first.entries, *rest.entries)]
    assert seen == [*reversed(charged), "start"] and rest.next is None


async def test_a_membership_that_is_over_reads_as_empty_before_it_is_closed(db: Database, quota: Quota) -> None:
    await db.write(ends("u", ManualClock().now()))
    assert await quota.ask(GetBalance("u")) == Balance(0, False, None)
    await quota.ask(Expire("u"))
    entries = (await quota.ask(GetLedger("u", 1))).entries
    assert (entries[0].amount, entries[0].balance) == (-100, 0)


async def test_memberships_that_are_over_are_closed_and_no_others(db: Database, quota: Quota) -> None:
    now = ManualClock().now()
    await quota.ask(Adjust(Adjustment("gift", "v", "to begin with", 0), 5))
    await db.write(ends("u", now))
    await db.write(ends("v", now + 1))
    await quota.ask(ExpireDue())
    kept = await db.read(lambda connection: accounts.load(connection, ["u", "v"]))
    assert {user: (account.balance, account.expires_at) for user, account in kept.items()} == {
        "u": (0, 0),
        "v": (5, now + 1),
    }
    assert [e.amount for e in (await quota.ask(GetLedger("u", 5))).entries] == [-100, 100]
