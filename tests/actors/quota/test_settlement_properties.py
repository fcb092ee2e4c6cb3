"""The pure function `settle` against a simple model: random commands, in random batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from actors.durations import DAY
from actors.idempotency import IdempotencyKey
from actors.quota.batch_state import Settlement, StoredState
from actors.quota.commands import Adjust, Charge, ChargeOperator, Command, Expire, Gift, Grant, Refund
from actors.quota.settlement import settle
from storage.membership.orders import Order, OrderStatus, PaidOrder
from storage.quota.accounts import Account
from storage.quota.adjustments import Adjustment
from storage.quota.idempotency import StoredAnswer
from storage.quota.ledger import EntryKind
from storage.task.tasks import FailedTask, NewTask
from tests.actors.quota.model import LedgerLine, ModelTask, QuotaModel, Result, to_model
from tests.support.property_settings import examples

NOW = 1_000_000_000_000
CHARGED = 2  # what each task that exists at the beginning has cost
USER_IDS = ("u", "v")

Settle = Callable[[StoredState, Sequence[Command]], Settlement]
Batches = Sequence[tuple[int, Sequence[Command]]]  # each with the milliseconds since the previous one
Accounts = Sequence[Account]


@dataclass(slots=True)
class StoredRows:
    """What is stored between batches; it gives `settle` the stored state as actors/quota/actor.py does."""

    accounts: dict[str, Account]
    charged: dict[str, int]
    answers: dict[tuple[str, str], StoredAnswer] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    paid: dict[str, str] = field(default_factory=dict)
    adjusted: set[str] = field(default_factory=set)
    promised: dict[str, int] = field(default_factory=dict)
    ledger: list[LedgerLine] = field(default_factory=list)

    def run(self, settle: Settle, batch: Sequence[Command], now: int) -> list[Result]:
        won = {record for command in batch for record in self._won(command)}
        stored = StoredState(
            now,
            len(self.ledger) + 1,
            dict(self.accounts),
            dict(self.charged),
            won,
            set(self.adjusted),
            dict(self.answers),
            {user: self.promised.pop(user) for user in _gifted(batch) if user in self.promised},
        )
        result = settle(stored, batch)
        newest = {user: account.last_entry for user, account in self.accounts.items()}
        for entry in result.entries:
            assert entry.previous == newest[entry.user_id], "an entry names the previous one of its user"
            newest[entry.user_id] = entry.id
        entry_ids = [entry.id for entry in result.entries]
        assert entry_ids == [*range(stored.next_entry, stored.next_entry + len(entry_ids))]
        posted = [entry.reference for entry in result.entries if entry.kind is EntryKind.ADJUST]
        self.accounts |= result.accounts
        self.answers |= result.answers
        self.adjusted |= {adjustment.id for adjustment in result.adjustments}
        self.ledger += [(c.user_id, c.kind.value, c.amount, c.balance, c.reference) for c in result.entries]
        assert [each.id for each in result.adjustments] == posted, "each adjustment is posted"
        charges = [line[4] for line in self.ledger[len(self.ledger) - len(result.entries) :] if line[1] == "charge"]
        assert [task.id for task in result.tasks] == charges, "each charge creates its task"
        return [to_model(outcome) for outcome in result.outcomes]

    def _won(self, command: Command) -> list[FailedTask | PaidOrder]:
        """Win the final state of a record as `UPDATE … WHERE` does: the first command wins it."""
        if isinstance(command, Refund) and command.task.id not in self.failed:
            self.failed.add(command.task.id)
            return [command.task]
        if isinstance(command, Grant):
            order_id, transaction = command.paid.order.id, command.paid.transaction_id
            if order_id not in self.paid and transaction not in self.paid.values():
                self.paid[order_id] = transaction
                return [command.paid]
        return []


def _gifted(batch: Sequence[Command]) -> set[str]:
    return {command.user_id for command in batch if isinstance(command, Gift)}


def difference(settle: Settle, accounts: Accounts, batches: Batches) -> str:
    """Return how `settle` and the model differ over these batches, or an empty text."""
    disk = StoredRows(
        {account.user_id: account for account in accounts}, dict.fromkeys(TASKS, CHARGED), promised={**GIFTS}
    )
    model = QuotaModel(set(USER_IDS), tasks={task: ModelTask(task[5], CHARGED) for task in TASKS}, promised={**GIFTS})
    for account in accounts:
        model.balance[account.user_id], model.ends[account.user_id] = account.balance, account.expires_at
    now = NOW
    for milliseconds, batch in batches:
        now += milliseconds
        outcomes, expected = disk.run(settle, batch, now), [model.execute(command, now) for command in batch]
        stored = {user: (disk.accounts[user].balance, disk.accounts[user].expires_at) for user in USER_IDS}
        expected_accounts = {user: (model.balance[user], model.ends[user]) for user in USER_IDS}
        for name, actual, model_value in (("outcomes", outcomes, expected), ("ledger", disk.ledger, model.ledger)):
            if actual != model_value:
                return f"{name}: {actual}, and the model {model_value}"
        if any(stored[command.user_id] != expected_accounts[command.user_id] for command in batch):
            return f"accounts: {stored}, and the model {expected_accounts}"
    return ""


USERS = st.sampled_from(USER_IDS)
NAMES = st.integers(0, 2)
GIFTS = {USER_IDS[0]: 5}
TASKS = [f"task {user}{number}" for user in USER_IDS for number in range(3)]


def charge(number: int, user: str, amount: int, key: str | None, variant: int) -> Charge:
    """Make a charge. The digest covers the amount, as the digest of a request does."""
    task = NewTask(f"new task {number}", user, "basic_clean", "input", {}, NOW + variant)
    return Charge(task, amount, IdempotencyKey(key, f"{amount} {variant}".encode()) if key else None)


def charge_operator(number: int, user: str, amount: int) -> ChargeOperator:
    return ChargeOperator(NewTask(f"new task {number}", user, "basic_clean", "input", {}, NOW), amount, "because")


def refund(user: str, number: int, reason: str) -> Refund:
    return Refund(FailedTask(f"task {user}{number}", user, reason))


def grant(user: str, number: int, transaction: str) -> Grant:
    """The terms of an order follow from its number."""
    order = Order(
        *(f"order {user}{number}", user, "wx", "monthly", 9900, 3 + number, 1 + number, number != 1, False),
        *(OrderStatus.PENDING, None, NOW, NOW + DAY, None),
    )
    return Grant(PaidOrder(order, transaction if transaction == "shared" else order.id))


def adjust(user: str, number: int, amount: int) -> Adjust:
    return Adjust(Adjustment(f"adjustment {user}{number}", user, "because", NOW), amount)


COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(charge, st.integers(0, 2**64), USERS, st.integers(1, 4), st.sampled_from([None, "k", "l"]), NAMES),
    st.builds(charge_operator, st.integers(0, 2**64), USERS, st.integers(1, 4)),
    st.builds(refund, USERS, NAMES, st.sampled_from(["late", "cancelled"])),
    st.builds(grant, USERS, NAMES, st.sampled_from(["own", "own", "shared"])),
    st.builds(adjust, USERS, NAMES, st.integers(-9, 9).filter(bool)),
    st.builds(Gift, USERS),
    st.builds(Expire, USERS),
)
EXPIRIES = st.sampled_from([0, NOW - 5, NOW, NOW + 1, NOW + DAY])
ACCOUNTS: st.SearchStrategy[Accounts] = st.tuples(
    *(st.builds(Account, st.just(user), st.integers(0, 9), EXPIRIES) for user in USER_IDS)
)
TIMES = st.sampled_from([0, 0, 1, DAY, 2 * DAY])


def has_unique_new_tasks(batches: Batches) -> bool:
    ids = [command.task.id for _, batch in batches for command in batch if isinstance(command, Charge | ChargeOperator)]
    return len(ids) == len(set(ids))


BATCHES: st.SearchStrategy[Batches] = st.lists(st.tuples(TIMES, st.lists(COMMANDS, max_size=12)), max_size=5).filter(
    has_unique_new_tasks
)


@examples(300)
@given(ACCOUNTS, BATCHES)
def test_a_batch_has_the_same_outcomes_as_its_commands_one_by_one(accounts: Accounts, batches: Batches) -> None:
    assert difference(settle, accounts, batches) == ""


def _settle_repeatedly(stored: StoredState, batch: Sequence[Command]) -> Settlement:
    """Does not remember which records it has settled: a repeated refund is paid twice."""
    total = Settlement()
    for command in batch:
        changed = replace(
            stored,
            next_entry=stored.next_entry + len(total.entries),
            accounts={**stored.accounts, **total.accounts},
            answers={**stored.answers, **total.answers},
        )
        result = settle(changed, [command])
        total.accounts |= result.accounts
        total.answers |= result.answers
        for whole, part in (
            (total.entries, result.entries),
            (total.tasks, result.tasks),
            (total.adjustments, result.adjustments),
            (total.outcomes, result.outcomes),
        ):
            whole.extend(part)  # type: ignore[arg-type]  # each pair has its own element type
    return total


def _settle_without_balance(stored: StoredState, batch: Sequence[Command]) -> Settlement:
    """Ignores the balance: a charge always succeeds."""
    accounts = {user: account._replace(balance=account.balance + 100) for user, account in stored.accounts.items()}
    result = settle(replace(stored, accounts=accounts), batch)
    for user, account in result.accounts.items():
        result.accounts[user] = account._replace(balance=account.balance - 100)
    result.entries = [entry._replace(balance=entry.balance - 100) for entry in result.entries]
    return result


def _settle_without_keys(stored: StoredState, batch: Sequence[Command]) -> Settlement:
    """Ignores idempotency keys."""
    return settle(stored, [replace(c, key=None) if isinstance(c, Charge) else c for c in batch])


def _settle_without_operator(stored: StoredState, batch: Sequence[Command]) -> Settlement:
    """Lets the user pay for a task that the operator has to pay for."""
    return settle(stored, [Charge(c.task, c.amount) if isinstance(c, ChargeOperator) else c for c in batch])


def _settle_too_late(stored: StoredState, batch: Sequence[Command]) -> Settlement:
    """Ends a membership a millisecond too late."""
    return settle(replace(stored, now=stored.now - 1), batch)


@pytest.mark.parametrize(
    "mutant",
    [
        _settle_repeatedly,
        _settle_without_balance,
        _settle_without_keys,
        _settle_without_operator,
        _settle_too_late,
    ],
)
def test_the_model_detects_a_wrong_settlement(mutant: Settle) -> None:
    search = settings(examples(500), phases=[Phase.generate])  # no shrinking: any example will do
    find(st.tuples(ACCOUNTS, BATCHES), lambda case: difference(mutant, *case) != "", settings=search)
