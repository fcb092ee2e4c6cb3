"""The heart of the quota: a pure function from accounts and a batch of commands to what becomes of them.

Each command carries the record that explains it, and is settled at most once: the explaining record is new (a charge's
task, an adjustment) or has just been won (a failed task, a paid order, a gift); otherwise nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from hashlib import blake2b

from actors.durations import DAY
from actors.errors import DomainError, IdempotencyKeyReused, NotMember, QuotaInsufficient
from actors.idempotency import IdempotencyKey
from actors.quota.commands import Adjust, Charge, Command, Expire, Gift, Grant, Outcome, Receipt, Refund
from storage.membership.orders import PaidOrder
from storage.quota.accounts import Account
from storage.quota.adjustments import Adjustment
from storage.quota.idempotency import StoredAnswer
from storage.quota.ledger import EntryKind, LedgerEntry
from storage.task.tasks import FailedTask, NewTask


@dataclass(frozen=True, slots=True)
class Facts:
    """What is on disk when the batch is decided."""

    now: int
    next_entry: int  # the id of the first entry to be made
    accounts: Mapping[str, Account]
    charged: Mapping[str, int]  # what each failing task was charged, by task id
    won: Set[FailedTask | PaidOrder]  # records whose final state this transaction has just won
    adjusted: Set[str]  # adjustments that were made before
    answers: Mapping[tuple[str, str], StoredAnswer]  # by user id and idempotency key
    gifts: Mapping[str, int]  # the amounts of signup gifts that this transaction has just won, by user id


@dataclass(slots=True)
class Settlement:
    """What to write, and what to tell each asker, in order of arrival."""

    accounts: dict[str, Account] = field(default_factory=dict)
    entries: list[LedgerEntry] = field(default_factory=list)
    tasks: list[NewTask] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    answers: dict[tuple[str, str], StoredAnswer] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


def settle(facts: Facts, batch: Sequence[Command]) -> Settlement:
    """Decide a batch in its order. Balances never become negative; accounts that did not change are not returned."""
    book = _Book(facts)
    for command in batch:
        book.end_if_over(command.user_id)
        book.made.outcomes.append(_decide(book, command))
    return book.made


def end_id(user_id: str, expires_at: int) -> str:
    """What an expiry refers to: this membership's end at that moment, as 32 hexadecimal digits like every id."""
    return blake2b(f"{user_id}:{expires_at}".encode(), digest_size=16).hexdigest()


class _Book:
    """The accounts while a batch is being decided."""

    def __init__(self, facts: Facts) -> None:
        self.facts, self.now = facts, facts.now
        self.made = Settlement()
        self._next_entry = facts.next_entry
        self._settled: set[tuple[EntryKind, str]] = set()

    def account(self, user_id: str) -> Account:
        return self.made.accounts.get(user_id) or self.facts.accounts[user_id]

    def keep(self, account: Account) -> None:
        self.made.accounts[account.user_id] = account

    def answer(self, key: tuple[str, str]) -> StoredAnswer | None:
        return self.made.answers.get(key) or self.facts.answers.get(key)

    def is_settled(self, kind: EntryKind, reference: str) -> bool:
        """Whether this batch has settled it already: two commands of one batch may carry the same record."""
        return (kind, reference) in self._settled

    def enter(self, user_id: str, kind: EntryKind, amount: int, reference: str) -> Receipt:
        account = self.account(user_id)
        balance = account.balance + amount
        assert amount != 0 and balance >= 0, "an entry changes the balance and leaves no debt"
        entry = LedgerEntry(self._next_entry, user_id, kind, amount, balance, reference, self.now, account.last_entry)
        self._next_entry += 1
        self._settled.add((kind, reference))
        self.made.entries.append(entry)
        self.keep(Account(user_id, balance, account.expires_at, entry.id))
        return Receipt(reference, balance, self.now)

    def end_if_over(self, user_id: str) -> None:
        account = self.account(user_id)
        if 0 < account.expires_at <= self.now:
            if account.balance:
                self.enter(user_id, EntryKind.EXPIRE, -account.balance, end_id(user_id, account.expires_at))
            self.keep(self.account(user_id)._replace(expires_at=0))


def _decide(book: _Book, command: Command) -> Outcome:
    match command:
        case Charge():
            return _charge(book, command)
        case Refund():
            return _refund(book, command)
        case Grant():
            return _grant(book, command)
        case Adjust():
            return _adjust(book, command)
        case Gift():
            return _gift(book, command)
        case Expire():
            return None  # a membership whose time is over has just been ended, as before every command


def _charge(book: _Book, command: Charge) -> Outcome:
    if command.key is None:
        return _charge_once(book, command)
    key = (command.user_id, command.key.key)
    stored = book.answer(key)
    if stored is None:
        outcome = _charge_once(book, command)
        book.made.answers[key] = _to_store(book, command, command.key, outcome)
        return outcome
    if stored.digest != command.key.digest:
        return IdempotencyKeyReused()
    return _from_store(stored, command.amount)


def _charge_once(book: _Book, command: Charge) -> Receipt | DomainError:
    account = book.account(command.user_id)
    if account.balance < command.amount:
        name = QuotaInsufficient.__name__ if account.expires_at else NotMember.__name__
        return _refusal(name, command.amount, account.balance)
    book.made.tasks.append(command.task)
    receipt = book.enter(command.user_id, EntryKind.CHARGE, -command.amount, command.task.id)
    return Receipt(receipt.reference, receipt.balance, command.task.created_at)


def _refund(book: _Book, command: Refund) -> Outcome:
    if command.task not in book.facts.won or book.is_settled(EntryKind.REFUND, command.task.id):
        return None
    return book.enter(command.user_id, EntryKind.REFUND, book.facts.charged[command.task.id], command.task.id)


def _grant(book: _Book, command: Grant) -> Outcome:
    order = command.paid.order
    if command.paid not in book.facts.won or book.is_settled(EntryKind.GRANT, order.id):
        return None
    account = book.account(order.user_id)
    if account.balance and account.expires_at and not order.rollover:
        book.enter(order.user_id, EntryKind.EXPIRE, -account.balance, order.id)
    receipt = book.enter(order.user_id, EntryKind.GRANT, order.quota, order.id)
    ends = max(account.expires_at, book.now) + order.days * DAY
    book.keep(book.account(order.user_id)._replace(expires_at=ends))
    return receipt


def _adjust(book: _Book, command: Adjust) -> Outcome:
    adjustment = command.adjustment
    if adjustment.id in book.facts.adjusted or book.is_settled(EntryKind.ADJUST, adjustment.id):
        return None
    balance = book.account(command.user_id).balance
    if balance + command.amount < 0:
        return QuotaInsufficient(needed=-command.amount, remaining=balance)
    book.made.adjustments.append(adjustment)
    return book.enter(command.user_id, EntryKind.ADJUST, command.amount, adjustment.id)


def _gift(book: _Book, command: Gift) -> Outcome:
    amount = book.facts.gifts.get(command.user_id)
    if amount is None or book.is_settled(EntryKind.GIFT, command.user_id):
        return None
    return book.enter(command.user_id, EntryKind.GIFT, amount, command.user_id)


def _refusal(name: str, needed: int, remaining: int) -> DomainError:
    return NotMember() if name == NotMember.__name__ else QuotaInsufficient(needed=needed, remaining=remaining)


def _to_store(book: _Book, command: Charge, key: IdempotencyKey, outcome: Receipt | DomainError) -> StoredAnswer:
    refused = isinstance(outcome, DomainError)
    return StoredAnswer(
        user_id=command.user_id,
        key=key.key,
        digest=key.digest,
        task_id=None if refused else command.task.id,
        refusal=type(outcome).__name__ if refused else None,
        balance=book.account(command.user_id).balance,
        created_at=command.task.created_at,
    )


def _from_store(stored: StoredAnswer, amount: int) -> Outcome:
    if stored.task_id is not None:
        return Receipt(stored.task_id, stored.balance, stored.created_at)
    assert stored.refusal is not None, "a stored answer is a task or a refusal"
    return _refusal(stored.refusal, amount, stored.balance)
