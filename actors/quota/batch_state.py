"""The state of a batch of commands while it is decided: what is stored, and what the batch has changed so far."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from hashlib import blake2b

from actors.quota.commands import Outcome, Receipt
from storage.membership.orders import PaidOrder
from storage.quota.accounts import Account
from storage.quota.adjustments import Adjustment
from storage.quota.idempotency import StoredAnswer
from storage.quota.ledger import EntryKind, LedgerEntry
from storage.task.tasks import FailedTask, NewTask


@dataclass(frozen=True, slots=True)
class StoredState:
    """What is in storage when a batch is decided, as far as its commands need it."""

    now: int
    next_entry: int  # the id of the first entry that the batch makes
    accounts: Mapping[str, Account]
    charged: Mapping[str, int]  # what each failing task was charged, by task id
    won: Set[FailedTask | PaidOrder]  # records whose final state this transaction has just won
    adjusted: Set[str]  # ids of adjustments that were made before
    answers: Mapping[tuple[str, str], StoredAnswer]  # by user id and idempotency key
    gifts: Mapping[str, int]  # amounts of the signup gifts that this transaction has just won, by user id


@dataclass(slots=True)
class Settlement:
    """The result of a batch: what to write, and an outcome for each command in its order."""

    accounts: dict[str, Account] = field(default_factory=dict)
    entries: list[LedgerEntry] = field(default_factory=list)
    tasks: list[NewTask] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    answers: dict[tuple[str, str], StoredAnswer] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


class BatchState:
    """Reads from `stored` what the batch has not changed yet, and collects every change in `result`."""

    def __init__(self, stored: StoredState) -> None:
        self.stored, self.now = stored, stored.now
        self.result = Settlement()
        self._next_entry = stored.next_entry
        self._settled: set[tuple[EntryKind, str]] = set()

    def account(self, user_id: str) -> Account:
        return self.result.accounts.get(user_id) or self.stored.accounts[user_id]

    def save_account(self, account: Account) -> None:
        self.result.accounts[account.user_id] = account

    def answer(self, key: tuple[str, str]) -> StoredAnswer | None:
        return self.result.answers.get(key) or self.stored.answers.get(key)

    def is_settled(self, kind: EntryKind, reference: str) -> bool:
        """Return whether this batch has posted the entry already: two of its commands may carry the same record."""
        return (kind, reference) in self._settled

    def post(self, user_id: str, kind: EntryKind, amount: int, reference: str) -> Receipt:
        """Post a ledger entry of a signed `amount`, and change the balance by it."""
        account = self.account(user_id)
        balance = account.balance + amount
        assert amount != 0 and balance >= 0, "an entry changes the balance and never makes it negative"
        entry = LedgerEntry(self._next_entry, user_id, kind, amount, balance, reference, self.now, account.last_entry)
        self._next_entry += 1
        self._settled.add((kind, reference))
        self.result.entries.append(entry)
        self.save_account(Account(user_id, balance, account.expires_at, entry.id))
        return Receipt(reference, balance, self.now)

    def expire_if_due(self, user_id: str) -> None:
        """End the membership of a user when its time is over; the remaining quota lapses."""
        account = self.account(user_id)
        if 0 < account.expires_at <= self.now:
            if account.balance:
                self.post(user_id, EntryKind.EXPIRE, -account.balance, expiry_reference(user_id, account.expires_at))
            self.save_account(self.account(user_id)._replace(expires_at=0))


def expiry_reference(user_id: str, expires_at: int) -> str:
    """Return the reference of an expiry: one for each end of each membership, as 32 hexadecimal digits."""
    return blake2b(f"{user_id}:{expires_at}".encode(), digest_size=16).hexdigest()
