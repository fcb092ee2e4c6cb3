"""What the quota promises, said a second time and as plainly as possible: one command at a time, over dictionaries.

Nothing here is shared with actors/quota/settlement.py but the words, so that the two can be held against each other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from actors.errors import DomainError, MissingReference
from actors.quota.commands import Adjust, Charge, Command, Expire, Gift, Grant, Receipt, Refund
from actors.quota.settlement import end_id

DAY = 24 * 60 * 60 * 1000  # milliseconds

Told = tuple[object, ...] | None
Line = tuple[str, str, int, int, str]  # user id, kind, amount, balance after it, reference


@dataclass(slots=True)
class ModelTask:
    user_id: str
    charged: int
    attempt: int = 0
    final: str | None = None


@dataclass(slots=True)
class QuotaModel:
    """`people` are known; nobody else can be given anything."""

    people: set[str]
    balance: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ends: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ledger: list[Line] = field(default_factory=list)
    tasks: dict[str, ModelTask] = field(default_factory=dict)
    paid: dict[str, str] = field(default_factory=dict)  # transaction ids by order id
    adjusted: set[str] = field(default_factory=set)
    promised: dict[str, int] = field(default_factory=dict)  # signup gifts that were not given yet, by user id
    answers: dict[tuple[str, str], tuple[bytes, Told, int]] = field(default_factory=dict)  # with when it was

    def carry_out(self, command: Command, now: int) -> Told:
        """What the command's sender has to be told."""
        user = command.user_id
        if 0 < self.ends[user] <= now:
            self._change(user, "expire", -self.balance[user], end_id(user, self.ends[user]))
            self.ends[user] = 0
        match command:
            case Charge():
                return self._charge(command)
            case Refund():
                return self._refund(command, now)
            case Grant():
                return self._grant(command, now)
            case Adjust():
                return self._adjust(command, now)
            case Gift():
                return self._gift(user, now)
            case Expire():
                return None

    def forget_refusals(self, now: int) -> None:
        """After a day; a task that was made is remembered for ever."""
        for key, (_, told, at) in list(self.answers.items()):
            if told is not None and told[0] != "Receipt" and at < now - DAY:
                del self.answers[key]

    def _charge(self, charge: Charge) -> Told:
        if charge.key is None:
            return self._new_charge(charge)
        key = (charge.user_id, charge.key.key)
        if key not in self.answers:
            self.answers[key] = (charge.key.digest, self._new_charge(charge), charge.task.created_at)
        digest, told, _ = self.answers[key]
        return told if digest == charge.key.digest else ("IdempotencyKeyReused",)

    def _new_charge(self, charge: Charge) -> Told:
        user, has = charge.user_id, self.balance[charge.user_id]
        if has >= charge.amount:
            self.tasks[charge.task.id] = ModelTask(user, charge.amount)
            self._change(user, "charge", -charge.amount, charge.task.id)
            return ("Receipt", charge.task.id, has - charge.amount, charge.task.created_at)
        if self.ends[user]:
            return ("QuotaInsufficient", charge.amount, has)
        return ("NotMember",)

    def _refund(self, refund: Refund, now: int) -> Told:
        failed = refund.task
        task = self.tasks.get(failed.id)
        if task is None or task.final or task.user_id != failed.user_id or failed.attempt not in (None, task.attempt):
            return None
        task.final = "failed"
        self._change(failed.user_id, "refund", task.charged, failed.id)
        return ("Receipt", failed.id, self.balance[failed.user_id], now)

    def _grant(self, grant: Grant, now: int) -> Told:
        order, user = grant.paid.order, grant.user_id
        if order.id in self.paid or grant.paid.transaction_id in self.paid.values():
            return None
        self.paid[order.id] = grant.paid.transaction_id
        if self.ends[user] and not order.rollover:
            self._change(user, "expire", -self.balance[user], order.id)
        self._change(user, "grant", order.quota, order.id)
        self.ends[user] = max(self.ends[user], now) + order.days * DAY
        return ("Receipt", order.id, self.balance[user], now)

    def _adjust(self, adjust: Adjust, now: int) -> Told:
        user, name, has = adjust.user_id, adjust.adjustment.id, self.balance[adjust.user_id]
        if name in self.adjusted:
            return None
        if has + adjust.amount < 0:
            return ("QuotaInsufficient", -adjust.amount, has)
        if user not in self.people:
            return (MissingReference.__name__,)
        self.adjusted.add(name)
        self._change(user, "adjust", adjust.amount, name)
        return ("Receipt", name, has + adjust.amount, now)

    def _gift(self, user: str, now: int) -> Told:
        if user not in self.promised:
            return None
        self._change(user, "gift", self.promised.pop(user), user)
        return ("Receipt", user, self.balance[user], now)

    def _change(self, user: str, kind: str, amount: int, reference: str) -> None:
        if amount:
            self.balance[user] += amount
            assert self.balance[user] >= 0, "the model itself makes no debts"
            self.ledger.append((user, kind, amount, self.balance[user], reference))


def told(outcome: object) -> Told:
    """An outcome of the product in the model's words."""
    match outcome:
        case None:
            return None
        case Receipt():
            return ("Receipt", outcome.reference, outcome.balance, outcome.at)
        case DomainError():
            return (type(outcome).__name__, *outcome.facts.values())
        case _:
            return (type(outcome).__name__,)
