"""The pure quota function against a simple model: any commands, cut into batches anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from actors.durations import DAY
from actors.idempotency import IdempotencyKey
from actors.quota.commands import Adjust, Charge, Command, Expire, Gift, Grant, Refund
from actors.quota.settlement import Facts, Settlement, settle
from storage.membership.orders import Order, OrderStatus, PaidOrder
from storage.quota.accounts import Account
from storage.quota.adjustments import Adjustment
from storage.quota.idempotency import StoredAnswer
from storage.task.tasks import FailedTask, NewTask
from tests.actors.quota.model import Line, ModelTask, QuotaModel, Told, told
from tests.support.property_settings import examples

NOW = 1_000_000_000_000
CHARGED = 2  # what each task that was there before has cost
PEOPLE = ("u", "v")

Settle = Callable[[Facts, Sequence[Command]], Settlement]
Batches = Sequence[tuple[int, Sequence[Command]]]  # each with the milliseconds since the one before
Accounts = Sequence[Account]


@dataclass(slots=True)
class Disk:
    """What is kept between batches, and what `settle` is told of it, as in actors/quota/actor.py."""

    accounts: dict[str, Account]
    charged: dict[str, int]
    answers: dict[tuple[str, str], StoredAnswer] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    paid: dict[str, str] = field(default_factory=dict)
    adjusted: set[str] = field(default_factory=set)
    promised: dict[str, int] = field(default_factory=dict)
    ledger: list[Line] = field(default_factory=list)

    def run(self, settle: Settle, batch: Sequence[Command], now: int) -> list[Told]:
        won = {record for command in batch for record in self._won(command)}
        facts = Facts(
            now,
            len(self.ledger) + 1,
            dict(self.accounts),
            dict(self.charged),
            won,
            set(self.adjusted),
            dict(self.answers),
            {user: self.promised.pop(user) for user in _given(batch) if user in self.promised},
        )
        made = settle(facts, batch)
        newest = {user: account.last_entry for user, account in self.accounts.items()}
        for entry in made.entries:
            assert entry.previous == newest[entry.user_id], "an entry names the one before it"
            newest[entry.user_id] = entry.id
        assert [entry.id for entry in made.entries] == [*range(facts.next_entry, facts.next_entry + len(made.entries))]
        self.accounts |= made.accounts
        self.answers |= made.answers
        self.adjusted |= {adjustment.id for adjustment in made.adjustments}
        self.ledger += [(c.user_id, c.kind.value, c.amount, c.balance, c.reference) for c in made.entries]
        charges = [line[4] for line in self.ledger[len(self.ledger) - len(made.entries) :] if line[1] == "charge"]
        assert [task.id for task in made.tasks] == charges, "each charge brings its task"
        return [told(outcome) for outcome in made.outcomes]

    def _won(self, command: Command) -> list[FailedTask | PaidOrder]:
        """As `UPDATE … WHERE` does: the first wins."""
        if isinstance(command, Refund) and command.task.id not in self.failed:
            self.failed.add(command.task.id)
            return [command.task]
        if isinstance(command, Grant):
            order_id, transaction = command.paid.order.id, command.paid.transaction_id
            if order_id not in self.paid and transaction not in self.paid.values():
                self.paid[order_id] = transaction
                return [command.paid]
        return []


def _given(batch: Sequence[Command]) -> set[str]:
    return {command.user_id for command in batch if isinstance(command, Gift)}


def differs(settle: Settle, accounts: Accounts, batches: Batches) -> str:
    """How `settle` and the model differ over these batches; empty when they do not."""
    disk = Disk({account.user_id: account for account in accounts}, dict.fromkeys(TASKS, CHARGED), promised={**GIFTS})
    model = QuotaModel(set(PEOPLE), tasks={task: ModelTask(task[5], CHARGED) for task in TASKS}, promised={**GIFTS})
    for account in accounts:
        model.balance[account.user_id], model.ends[account.user_id] = account.balance, account.expires_at
    now = NOW
    for later, batch in batches:
        now += later
        got, expected = disk.run(settle, batch, now), [model.carry_out(command, now) for command in batch]
        kept = {user: (disk.accounts[user].balance, disk.accounts[user].expires_at) for user in PEOPLE}
        wanted = {user: (model.balance[user], model.ends[user]) for user in PEOPLE}
        for what, left, right in (("told", got, expected), ("ledger", disk.ledger, model.ledger)):
            if left != right:
                return f"{what}: {left}, and the model {right}"
        if any(kept[command.user_id] != wanted[command.user_id] for command in batch):
            return f"accounts: {kept}, and the model {wanted}"
    return ""


USERS = st.sampled_from(PEOPLE)
NAMES = st.integers(0, 2)
GIFTS = {PEOPLE[0]: 5}
TASKS = [f"task {user}{number}" for user in PEOPLE for number in range(3)]


def charge(number: int, user: str, amount: int, key: str | None, variant: int) -> Charge:
    """The digest covers the amount, as that of a request's body does."""
    named = IdempotencyKey(key, f"{amount} {variant}".encode()) if key else None
    return Charge(NewTask(f"new task {number}", user, "basic_clean", "input", {}, NOW + variant), amount, named)


def refund(user: str, number: int, reason: str) -> Refund:
    return Refund(FailedTask(f"task {user}{number}", user, reason))


def grant(user: str, number: int, transaction: str) -> Grant:
    """An order's terms follow from its name."""
    order = Order(
        *(f"order {user}{number}", user, "wx", "monthly", 9900, 3 + number, 1 + number, number != 1, False),
        *(OrderStatus.PENDING, None, NOW, NOW + DAY, None),
    )
    return Grant(PaidOrder(order, transaction if transaction == "shared" else order.id))


def adjust(user: str, number: int, amount: int) -> Adjust:
    return Adjust(Adjustment(f"adjustment {user}{number}", user, "because", NOW), amount)


COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(charge, st.integers(0, 2**64), USERS, st.integers(1, 4), st.sampled_from([None, "k", "l"]), NAMES),
    st.builds(refund, USERS, NAMES, st.sampled_from(["late", "cancelled"])),
    st.builds(grant, USERS, NAMES, st.sampled_from(["own", "own", "shared"])),
    st.builds(adjust, USERS, NAMES, st.integers(-9, 9).filter(bool)),
    st.builds(Gift, USERS),
    st.builds(Expire, USERS),
)
ENDS = st.sampled_from([0, NOW - 5, NOW, NOW + 1, NOW + DAY])
ACCOUNTS: st.SearchStrategy[Accounts] = st.tuples(
    *(st.builds(Account, st.just(user), st.integers(0, 9), ENDS) for user in PEOPLE)
)
TIMES = st.sampled_from([0, 0, 1, DAY, 2 * DAY])


def new_tasks_are_new(batches: Batches) -> bool:
    ids = [command.task.id for _, batch in batches for command in batch if isinstance(command, Charge)]
    return len(ids) == len(set(ids))


BATCHES: st.SearchStrategy[Batches] = st.lists(st.tuples(TIMES, st.lists(COMMANDS, max_size=12)), max_size=5).filter(
    new_tasks_are_new
)


@examples(300)
@given(ACCOUNTS, BATCHES)
def test_any_commands_in_any_batches_are_settled_as_one_by_one(accounts: Accounts, batches: Batches) -> None:
    assert differs(settle, accounts, batches) == ""


def _forgetful(facts: Facts, batch: Sequence[Command]) -> Settlement:
    """Forgets from command to command which records it has settled: a refund that comes twice is paid twice."""
    total = Settlement()
    for command in batch:
        known = replace(
            facts,
            next_entry=facts.next_entry + len(total.entries),
            accounts={**facts.accounts, **total.accounts},
            answers={**facts.answers, **total.answers},
        )
        made = settle(known, [command])
        total.accounts |= made.accounts
        total.answers |= made.answers
        for whole, part in (
            (total.entries, made.entries),
            (total.tasks, made.tasks),
            (total.adjustments, made.adjustments),
            (total.outcomes, made.outcomes),
        ):
            whole.extend(part)  # type: ignore[arg-type]  # each with its own kind
    return total


def _generous(facts: Facts, batch: Sequence[Command]) -> Settlement:
    """Ignores the balance: there is always something left to charge."""
    rich = {user: account._replace(balance=account.balance + 100) for user, account in facts.accounts.items()}
    made = settle(replace(facts, accounts=rich), batch)
    made.accounts = {user: account._replace(balance=account.balance - 100) for user, account in made.accounts.items()}
    made.entries = [entry._replace(balance=entry.balance - 100) for entry in made.entries]
    return made


def _keyless(facts: Facts, batch: Sequence[Command]) -> Settlement:
    """Does not look at idempotency keys."""
    return settle(facts, [replace(c, key=None) if isinstance(c, Charge) else c for c in batch])


def _late(facts: Facts, batch: Sequence[Command]) -> Settlement:
    """Lets a membership live on in the millisecond in which it ends."""
    return settle(replace(facts, now=facts.now - 1), batch)


@pytest.mark.parametrize("broken", [_forgetful, _generous, _keyless, _late])
def test_a_broken_settlement_is_found_out(broken: Settle) -> None:
    found = settings(examples(500), phases=[Phase.generate])  # the smallest example is of no interest
    find(st.tuples(ACCOUNTS, BATCHES), lambda case: differs(broken, *case) != "", settings=found)
