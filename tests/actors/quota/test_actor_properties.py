"""The quota actor over a real SQLite file against a simple model, step by step."""

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
from actors.message import Message
from actors.quota.actor import Quota
from actors.quota.commands import Adjust, Charge, ChargeOperator, Command, Expire, Gift, Grant, Refund
from actors.quota.messages import ExpireDueMemberships, GetBalance, GrantDueGifts
from actors.retention import Purge
from storage.auth import signup_gifts, users
from storage.auth.users import User
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.membership import orders
from storage.membership.orders import Order, OrderStatus, PaidOrder
from storage.quota import accounts, idempotency
from storage.quota.adjustments import Adjustment
from storage.task import queue, transitions
from storage.task.tasks import FailedTask, NewTask
from tests.actors.quota.model import DAY, QuotaModel, to_model
from tests.support.invariants import audit_violations
from tests.support.property_settings import examples
from tests.support.server import ManualClock

R = TypeVar("R")

USER_IDS = ("u", "v")
SENDERS = st.sampled_from((*USER_IDS, "nobody"))  # a user who does not exist makes the transaction of the turn fail
USERS = st.sampled_from(USER_IDS)
POSITIONS = st.integers(0, 7)  # the position of a task or order, counted from the newest
KEYS = st.sampled_from([None, "k", "l", "m"])

CHARGES = st.tuples(st.just("charge"), USERS, st.integers(1, 4), KEYS)
OPERATOR_CHARGES = st.tuples(st.just("charge operator"), SENDERS, st.integers(1, 4))
REFUNDS = st.tuples(st.just("refund"), POSITIONS, st.sampled_from(["any", "held", "stale"]))
GRANTS = st.tuples(st.just("grant"), POSITIONS, st.sampled_from(["own", "own", "another", "shared"]))
ADJUSTMENTS = st.tuples(st.just("adjust"), SENDERS, st.integers(-9, 20).filter(bool), st.integers(0, 5))
EXPIRIES = st.tuples(st.just("expire"), USERS)
GIFTS = st.tuples(st.just("gift"), SENDERS)
REQUESTS = st.one_of(CHARGES, CHARGES, OPERATOR_CHARGES, REFUNDS, GRANTS, ADJUSTMENTS, EXPIRIES, GIFTS)


class QuotaMachine(RuleBasedStateMachine):
    """Runs the actor in its own event loop, and executes each step in the model as well."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="quota"))
        self.clock = ManualClock()
        self.model = QuotaModel(set(USER_IDS))
        self.orders: list[Order] = []
        self.new_users = list(USER_IDS)  # users who were not promised a gift yet
        self.run(self._open())
        for name in USER_IDS:
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
            self.execute([Adjust(Adjustment("start", "u", "initial balance", 0), balance)])
        self.order("u", balance % 3)
        self.repeat(("grant", 0, "own"), 1, True)

    @rule(requests=st.lists(REQUESTS, min_size=1, max_size=10))
    def ask_in_one_turn(self, requests: list[tuple[Any, ...]]) -> None:
        self.execute([command for request in requests if (command := self.command(*request))])

    @rule(request=REQUESTS, times=st.integers(2, 5), together=st.booleans())
    def repeat(self, request: tuple[Any, ...], times: int, together: bool) -> None:
        """Repeat a request as a client does: a charge has the same key and a new task each time."""
        commands = [command for _ in range(times) if (command := self.command(*request))]
        for batch in [commands] if together else [[command] for command in commands]:
            self.execute(batch)

    @precondition(lambda self: self.new_users)
    @rule(amount=st.integers(1, 9))
    def promise(self, amount: int) -> None:
        user = self.new_users.pop()
        self.run(self.db.write(lambda connection: signup_gifts.add(connection, user, amount, self.clock.now())))
        self.model.promised[user] = amount

    @rule()
    def grant_due_gifts(self) -> None:
        self.run(self.ask(GrantDueGifts()))
        for user in sorted(self.model.promised):
            self.model.execute(Gift(user), self.clock.now())

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
    @rule(position=POSITIONS, success=st.booleans())
    def report(self, position: int, success: bool) -> None:
        """A worker takes over a task, or completes it."""
        name, now = self.task(position), self.clock.now()
        task = self.model.tasks[name]
        if success:
            won = self.run(self.db.write(lambda c: transitions.win_success(c, name, ["a.png"], None, now)))
            assert won == (task.final is None)
            task.final = task.final or "success"
        else:
            taken = self.run(self.db.write(lambda c: queue.take_over(c, name, now, now + 1))) is not None
            assert taken == (task.final is None)
            task.attempt += taken

    @rule(days=st.sampled_from([0.5, 1, 2, 30]))
    def wait(self, days: float) -> None:
        self.clock.advance(days=days)

    @precondition(lambda self: any(self.model.ends.values()))
    @rule(user=USERS)
    def wait_for_the_end(self, user: str) -> None:
        """Wait until the very millisecond in which a membership ends."""
        self.clock.time = max(self.clock.time, self.model.ends[user])

    @rule()
    def expire_due(self) -> None:
        self.run(self.ask(ExpireDueMemberships()))
        for user in USER_IDS:
            self.model.execute(Expire(user), self.clock.now())

    @rule()
    def restart(self) -> None:
        """An actor that starts closes ended memberships, grants promised gifts and purges old refusals."""
        self.run(self._close())
        self.run(self._open())
        self.expire_due()
        self.grant_due_gifts()
        self.run(self.ask(Purge()))
        self.model.purge_refusals(self.clock.now())

    # --- invariants after each step ---

    @invariant()
    def stored_rows_equal_the_model(self) -> None:
        balances, ledger, violations = self.run(self.db.read(_load_rows))
        assert balances == {user: (self.model.balance[user], self.model.ends[user]) for user in USER_IDS}
        assert ledger == sorted(self.model.ledger), "the ledger"
        assert violations == []

    @invariant()
    def the_balance_is_what_can_be_spent(self) -> None:
        for user in USER_IDS:
            balance = self.run(self.ask(GetBalance(user)))
            has_ended = 0 < self.model.ends[user] <= self.clock.now()
            assert balance.remaining == (0 if has_ended else self.model.balance[user])
            assert balance.is_member == (self.model.ends[user] > self.clock.now())

    # --- helpers of the steps ---

    def execute(self, commands: list[Command]) -> None:
        """Send commands concurrently, and compare their outcomes with those of the model."""
        now = self.clock.now()
        expected = [self.model.execute(command, now) for command in commands]
        outcomes = self.run(self.ask_all(commands))
        assert [to_model(outcome) for outcome in outcomes] == expected

    async def ask_all(self, commands: list[Command]) -> list[object]:
        messages = cast(list[Message[object]], commands)  # each has its own type of reply
        return await asyncio.gather(*map(self.quota.ask, messages), return_exceptions=True)

    async def ask(self, message: Message[R]) -> R:
        return await self.quota.ask(message)

    def task(self, position: int) -> str:
        return sorted(self.model.tasks, reverse=True)[position % len(self.model.tasks)]

    def command(self, kind: str, *arguments: Any) -> Command | None:
        """Make a command; None when there is no task or order for it yet."""
        commands: dict[str, Callable[..., Command | None]] = {
            "charge": self._charge,
            "charge operator": self._charge_operator,
            "refund": self._refund,
            "grant": self._grant,
            "adjust": lambda user, amount, number: Adjust(Adjustment(f"a {user}{number}", user, "", 0), amount),
            "expire": Expire,
            "gift": Gift,
        }
        return commands[kind](*arguments)

    def _charge(self, user: str, amount: int, key: str | None) -> Charge:
        """Make a charge. The digest covers the amount, as the digest of a request does."""
        idempotency_key = IdempotencyKey(key, bytes([amount])) if key else None
        return Charge(NewTask(new_id(), user, "basic_clean", "input", {}, self.clock.now()), amount, idempotency_key)

    def _charge_operator(self, user: str, amount: int) -> ChargeOperator:
        return ChargeOperator(NewTask(new_id(), user, "basic_clean", "input", {}, self.clock.now()), amount, "because")

    def _refund(self, position: int, holder: str) -> Refund | None:
        if not self.model.tasks:
            return None
        name = self.task(position)
        task = self.model.tasks[name]
        attempt = {"any": None, "held": task.attempt, "stale": task.attempt - 1}[holder]
        return Refund(FailedTask(name, task.user_id, holder, attempt))

    def _grant(self, position: int, transaction: str) -> Grant | None:
        if not self.orders:
            return None
        order = self.orders[-1 - position % len(self.orders)]
        return Grant(PaidOrder(order, "shared" if transaction == "shared" else f"{transaction} {order.id}"))


Rows = tuple[dict[str, tuple[int, int]], list[Any], list[str]]


def _load_rows(connection: Connection) -> Rows:
    rows = accounts.load(connection, USER_IDS)
    balances = {user: (account.balance, account.expires_at) for user, account in rows.items()}
    ledger = connection.execute("SELECT user_id, kind, amount, balance, reference FROM ledger").fetchall()
    return balances, sorted(ledger), audit_violations(connection)


def test_the_actor_behaves_as_the_model() -> None:
    run_state_machine_as_test(QuotaMachine, settings=examples(30, steps=30))


def _store_no_answer(connection: Connection, answers: object) -> None:
    """Does not store the answers to idempotency keys."""


def _set_failed(connection: Connection, failed: list[FailedTask], now: int) -> set[FailedTask]:
    """Sets the final state of tasks that may have one already."""
    connection.executemany(
        """
        UPDATE tasks SET status = 'failed', waiting = 0, holder = NULL, lease_until = NULL WHERE id = ?
        """,
        [(task.id,) for task in failed],
    )
    return set(failed)


def _set_paid(connection: Connection, paid: list[PaidOrder], now: int) -> set[PaidOrder]:
    """Counts a payment each time that it is reported."""
    connection.executemany(
        "UPDATE orders SET status = 'paid', transaction_id = ? WHERE id = ?",
        [(payment.transaction_id, payment.order.id) for payment in paid],
    )
    return set(paid)


MUTANTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "answers are not stored": lambda: patch.object(idempotency, "add", _store_no_answer),
    "failures are set, not won": lambda: patch.object(transitions, "win_failed", _set_failed),
    "payments are set, not won": lambda: patch.object(orders, "win_paid", _set_paid),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_model_detects_a_wrong_quota(mutant: str) -> None:
    search = settings(examples(200, steps=30), phases=[Phase.generate], database=None, print_blob=False)
    with MUTANTS[mutant](), pytest.raises(Exception) as fault:  # an assertion, or a violated constraint of SQLite
        run_state_machine_as_test(QuotaMachine, settings=search)
    assert fault.type in (AssertionError, ExceptionGroup) or "UNIQUE" in str(fault.value)
