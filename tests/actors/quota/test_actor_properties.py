"""The quota actor over a real SQLite file against the same simple model, step by step."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from unittest.mock import patch

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.idempotency import IdempotencyKey
from actors.ids import new_id
from actors.quota.actor import Adjust, Charge, Expire, ExpireDue, GetBalance, Gift, GiveDue, Grant, Quota, Refund
from actors.quota.commands import Command
from actors.retention import Purge
from actors.runtime import Message
from storage.auth import signup_gifts, users
from storage.auth.users import User
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.membership import orders
from storage.membership.orders import Order, OrderStatus, PaidOrder
from storage.quota import accounts, idempotency
from storage.quota.adjustments import Adjustment
from storage.task import tasks
from storage.task.tasks import FailedTask, NewTask
from tests.actors.quota.model import DAY, QuotaModel, told
from tests.support.invariants import audit_violations
from tests.support.property_settings import examples
from tests.support.server import ManualClock

R = TypeVar("R")

PEOPLE = ("u", "v")
SENDERS = st.sampled_from((*PEOPLE, "nobody"))  # who does not exist breaks the whole turn's rows
USERS = st.sampled_from(PEOPLE)
SOME = st.integers(0, 7)  # one of the tasks or orders there are, counted from the newest
KEYS = st.sampled_from([None, "k", "l", "m"])

CHARGES = st.tuples(st.just("charge"), USERS, st.integers(1, 4), KEYS)
REFUNDS = st.tuples(st.just("refund"), SOME, st.sampled_from(["any", "held", "stale"]))
GRANTS = st.tuples(st.just("grant"), SOME, st.sampled_from(["own", "own", "another", "shared"]))
ADJUSTMENTS = st.tuples(st.just("adjust"), SENDERS, st.integers(-9, 20).filter(bool), st.integers(0, 5))
ENDS = st.tuples(st.just("expire"), USERS)
GIFTS = st.tuples(st.just("gift"), SENDERS)
WISHES = st.one_of(CHARGES, CHARGES, REFUNDS, GRANTS, ADJUSTMENTS, ENDS, GIFTS)


class QuotaMachine(RuleBasedStateMachine):
    """Runs the actor in an event loop of its own; every step is told to the model, too."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="quota"))
        self.clock = ManualClock()
        self.model = QuotaModel(set(PEOPLE))
        self.orders: list[Order] = []
        self.newcomers = list(PEOPLE)  # who may still be promised a gift
        self.run(self._open())
        for name in PEOPLE:
            self.run(self.db.write(partial(users.add, user=User(name, name, 0))))

    def teardown(self) -> None:
        self.run(self._close())
        self.loop.close()
        shutil.rmtree(self.folder)

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(work)

    async def _open(self) -> None:
        self.db = await Database.open(self.folder, readers=1)
        self.quota = Quota(self.db, self.clock)
        self.quota.start()

    async def _close(self) -> None:
        await self.quota.stop()
        await self.db.close()

    # --- steps ---

    @initialize(balance=st.integers(0, 12))
    def begin(self, balance: int) -> None:
        if balance:
            self.settle([Adjust(Adjustment("start", "u", "to begin with", 0), balance)])
        self.order("u", balance % 3)
        self.repeat(("grant", 0, "own"), 1, True)

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=10))
    def ask_in_one_turn(self, wishes: list[tuple[Any, ...]]) -> None:
        self.settle([command for wish in wishes if (command := self.command(*wish))])

    @rule(wish=WISHES, times=st.integers(2, 5), together=st.booleans())
    def repeat(self, wish: tuple[Any, ...], times: int, together: bool) -> None:
        """Charges as a client repeats them: with the same key, and a new task each time."""
        commands = [command for _ in range(times) if (command := self.command(*wish))]
        for some in [commands] if together else [[command] for command in commands]:
            self.settle(some)

    @precondition(lambda self: self.newcomers)
    @rule(amount=st.integers(1, 9))
    def promise(self, amount: int) -> None:
        user = self.newcomers.pop()
        self.run(self.db.write(lambda connection: signup_gifts.add(connection, user, amount, self.clock.now())))
        self.model.promised[user] = amount

    @rule()
    def look_for_promises(self) -> None:
        self.run(self.ask(GiveDue()))
        for user in sorted(self.model.promised):
            self.model.carry_out(Gift(user), self.clock.now())

    @rule(user=USERS, plan=st.integers(0, 2))
    def order(self, user: str, plan: int) -> None:
        now = self.clock.now()
        order = Order(
            *(new_id(), user, "wx", f"plan {plan}", 9900, 3 + 4 * plan, 1 + plan, plan != 1, False),
            *(OrderStatus.PENDING, None, now, now + DAY, None),
        )
        self.run(self.db.write(lambda connection: orders.add(connection, order)))
        self.orders.append(order)

    @precondition(lambda self: self.model.tasks)
    @rule(some=SOME, success=st.booleans())
    def work(self, some: int, success: bool) -> None:
        """Somebody takes a task, or finishes it."""
        name, now = self.task(some), self.clock.now()
        task = self.model.tasks[name]
        if success:
            won = self.run(self.db.write(lambda c: tasks.win_success(c, name, ["a.png"], None, now)))
            assert won == (task.final is None)
            task.final = task.final or "success"
        else:
            taken = self.run(self.db.write(lambda c: tasks.take_over(c, name, now, now + 1)))
            assert taken == (task.final is None)
            task.attempt += taken

    @rule(days=st.sampled_from([0.5, 1, 2, 30]))
    def wait(self, days: float) -> None:
        self.clock.advance(days=days)

    @precondition(lambda self: any(self.model.ends.values()))
    @rule(user=USERS)
    def wait_for_the_end(self, user: str) -> None:
        """Until the very millisecond in which a membership ends."""
        self.clock.time = max(self.clock.time, self.model.ends[user])

    @rule()
    def expire_due(self) -> None:
        self.run(self.ask(ExpireDue()))
        for user in PEOPLE:
            self.model.carry_out(Expire(user), self.clock.now())

    @rule()
    def restart(self) -> None:
        """An actor that starts looks for ended memberships, promised gifts and old refusals at once."""
        self.run(self._close())
        self.run(self._open())
        self.expire_due()
        self.look_for_promises()
        self.run(self.ask(Purge()))
        self.model.forget_refusals(self.clock.now())

    # --- what holds after each of them ---

    @invariant()
    def what_is_kept_is_the_models(self) -> None:
        balances, ledger, broken = self.run(self.db.read(_kept))
        assert balances == {user: (self.model.balance[user], self.model.ends[user]) for user in PEOPLE}
        assert ledger == sorted(self.model.ledger), "the ledger"
        assert broken == []

    @invariant()
    def what_is_read_is_what_can_be_spent(self) -> None:
        for user in PEOPLE:
            read = self.run(self.ask(GetBalance(user)))
            over = 0 < self.model.ends[user] <= self.clock.now()
            assert read.remaining == (0 if over else self.model.balance[user])
            assert read.is_member == (self.model.ends[user] > self.clock.now())

    # --- how ---

    def settle(self, commands: list[Command]) -> None:
        """Send commands at the same moment, and compare what their senders are told."""
        now = self.clock.now()
        expected = [self.model.carry_out(command, now) for command in commands]
        got = self.run(self.ask_all(commands))
        assert [told(outcome) for outcome in got] == expected

    async def ask_all(self, commands: list[Command]) -> list[object]:
        messages = cast(list[Message[object]], commands)  # each with an answer of its own
        return await asyncio.gather(*map(self.quota.ask, messages), return_exceptions=True)

    async def ask(self, message: Message[R]) -> R:
        return await self.quota.ask(message)

    def task(self, some: int) -> str:
        return sorted(self.model.tasks, reverse=True)[some % len(self.model.tasks)]

    def command(self, kind: str, *wish: Any) -> Command | None:
        """None when there is nothing yet that it could be about."""
        commands: dict[str, Callable[..., Command | None]] = {
            "charge": self._charge,
            "refund": self._refund,
            "grant": self._grant,
            "adjust": lambda user, amount, number: Adjust(Adjustment(f"a {user}{number}", user, "", 0), amount),
            "expire": Expire,
            "gift": Gift,
        }
        return commands[kind](*wish)

    def _charge(self, user: str, amount: int, key: str | None) -> Charge:
        """The digest covers the amount, as that of a request's body does."""
        named = IdempotencyKey(key, bytes([amount])) if key else None
        return Charge(NewTask(new_id(), user, "basic_clean", "input", {}, self.clock.now()), amount, named)

    def _refund(self, some: int, holder: str) -> Refund | None:
        if not self.model.tasks:
            return None
        name = self.task(some)
        task = self.model.tasks[name]
        attempt = {"any": None, "held": task.attempt, "stale": task.attempt - 1}[holder]
        return Refund(FailedTask(name, task.user_id, holder, attempt))

    def _grant(self, some: int, transaction: str) -> Grant | None:
        if not self.orders:
            return None
        order = self.orders[-1 - some % len(self.orders)]
        return Grant(PaidOrder(order, "shared" if transaction == "shared" else f"{transaction} {order.id}"))


Kept = tuple[dict[str, tuple[int, int]], list[Any], list[str]]


def _kept(connection: Connection) -> Kept:
    found = accounts.load(connection, PEOPLE)
    balances = {user: (account.balance, account.expires_at) for user, account in found.items()}
    ledger = connection.execute("SELECT user_id, kind, amount, balance, reference FROM ledger").fetchall()
    return balances, sorted(ledger), audit_violations(connection)


def test_the_actor_does_what_the_model_says() -> None:
    run_state_machine_as_test(QuotaMachine, settings=examples(30, steps=30))


def _forget(connection: Connection, answers: object) -> None:
    """No answer is kept under its key."""


def _set_failed(connection: Connection, failed: list[FailedTask], now: int) -> set[FailedTask]:
    """A final state that is set, whoever else has won the task."""
    connection.executemany(
        """
        UPDATE tasks SET status = 'failed', waiting = 0, holder = NULL, lease_until = NULL WHERE id = ?
        """,
        [(task.id,) for task in failed],
    )
    return set(failed)


def _set_paid(connection: Connection, paid: list[PaidOrder], now: int) -> set[PaidOrder]:
    """A payment that counts however often it comes."""
    connection.executemany(
        "UPDATE orders SET status = 'paid', transaction_id = ? WHERE id = ?",
        [(payment.transaction_id, payment.order.id) for payment in paid],
    )
    return set(paid)


BROKEN: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "keys are forgotten": lambda: patch.object(idempotency, "add", _forget),
    "failures are set": lambda: patch.object(tasks, "win_failed", _set_failed),
    "payments are set": lambda: patch.object(orders, "win_paid", _set_paid),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_quota_is_found_out(broken: str) -> None:
    found = settings(examples(200, steps=30), phases=[Phase.generate], database=None, print_blob=False)
    with BROKEN[broken](), pytest.raises(Exception) as fault:  # an assertion, or what SQLite refuses
        run_state_machine_as_test(QuotaMachine, settings=found)
    assert fault.type in (AssertionError, ExceptionGroup) or "UNIQUE" in str(fault.value)
