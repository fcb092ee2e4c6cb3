"""A model of the quota: the same promises as simply as possible, one command at a time, over dictionaries.

It shares no code with actors/quota/settlement.py, so that each can be tested against the other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from actors.errors import DomainError, MissingReference
from actors.quota.batch_state import expiry_reference
from actors.quota.commands import Adjust, Charge, ChargeOperator, Command, Expire, Gift, Grant, Receipt, Refund

DAY = 24 * 60 * 60 * 1000  # milliseconds

Result = tuple[object, ...] | None
LedgerLine = tuple[str, str, int, int, str]  # user id, kind, amount, balance after it, reference


@dataclass(slots=True)
class ModelTask:
    user_id: str
    charged: int
    attempt: int = 0
    final: str | None = None


@dataclass(slots=True)
class QuotaModel:
    """`users` exist; an adjustment for any other user fails."""

    users: set[str]
    balance: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ends: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ledger: list[LedgerLine] = field(default_factory=list)
    tasks: dict[str, ModelTask] = field(default_factory=dict)
    paid: dict[str, str] = field(default_factory=dict)  # transaction ids by order id
    adjusted: set[str] = field(default_factory=set)
    promised: dict[str, int] = field(default_factory=dict)  # signup gifts that were not granted yet, by user id
    answers: dict[tuple[str, str], tuple[bytes, Result, int]] = field(default_factory=dict)  # digest, outcome, time

    def execute(self, command: Command, now: int) -> Result:
        """Execute a command and return its outcome."""
        user = command.user_id
        if 0 < self.ends[user] <= now:
            self._change(user, "expire", -self.balance[user], expiry_reference(user, self.ends[user]))
            self.ends[user] = 0
        match command:
            case Charge():
                return self._charge(command)
            case ChargeOperator():
                return self._charge_operator(command)
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

    def purge_refusals(self, now: int) -> None:
        """Delete refusals after a day. Answers that name a task are kept forever."""
        for key, (_, result, at) in list(self.answers.items()):
            if result is not None and result[0] != "Receipt" and at < now - DAY:
                del self.answers[key]

    def _charge(self, charge: Charge) -> Result:
        if charge.key is None:
            return self._new_charge(charge)
        key = (charge.user_id, charge.key.key)
        if key not in self.answers:
            self.answers[key] = (charge.key.digest, self._new_charge(charge), charge.task.created_at)
        digest, result, _ = self.answers[key]
        return result if digest == charge.key.digest else ("IdempotencyKeyReused",)

    def _new_charge(self, charge: Charge) -> Result:
        user, balance = charge.user_id, self.balance[charge.user_id]
        if balance >= charge.amount:
            self.tasks[charge.task.id] = ModelTask(user, charge.amount)
            self._change(user, "charge", -charge.amount, charge.task.id)
            return ("Receipt", charge.task.id, balance - charge.amount, charge.task.created_at)
        if self.ends[user]:
            return ("QuotaInsufficient", charge.amount, balance)
        return ("NotMember",)

    def _charge_operator(self, charge: ChargeOperator) -> Result:
        user, task = charge.user_id, charge.task
        if user not in self.users:
            return (MissingReference.__name__,)
        self.adjusted.add(task.id)
        self.tasks[task.id] = ModelTask(user, charge.amount)
        self._change(user, "adjust", charge.amount, task.id)
        self._change(user, "charge", -charge.amount, task.id)
        return ("Receipt", task.id, self.balance[user], task.created_at)

    def _refund(self, refund: Refund, now: int) -> Result:
        failed = refund.task
        task = self.tasks.get(failed.id)
        if task is None or task.final or task.user_id != failed.user_id or failed.attempt not in (None, task.attempt):
            return None
        task.final = "failed"
        self._change(failed.user_id, "refund", task.charged, failed.id)
        return ("Receipt", failed.id, self.balance[failed.user_id], now)

    def _grant(self, grant: Grant, now: int) -> Result:
        order, user = grant.paid.order, grant.user_id
        if order.id in self.paid or grant.paid.transaction_id in self.paid.values():
            return None
        self.paid[order.id] = grant.paid.transaction_id
        if self.ends[user] and not order.rollover:
            self._change(user, "expire", -self.balance[user], order.id)
        self._change(user, "grant", order.quota, order.id)
        self.ends[user] = max(self.ends[user], now) + order.days * DAY
        return ("Receipt", order.id, self.balance[user], now)

    def _adjust(self, adjust: Adjust, now: int) -> Result:
        user, adjustment_id, balance = adjust.user_id, adjust.adjustment.id, self.balance[adjust.user_id]
        if adjustment_id in self.adjusted:
            return None
        if balance + adjust.amount < 0:
            return ("QuotaInsufficient", -adjust.amount, balance)
        if user not in self.users:
            return (MissingReference.__name__,)
        self.adjusted.add(adjustment_id)
        self._change(user, "adjust", adjust.amount, adjustment_id)
        return ("Receipt", adjustment_id, balance + adjust.amount, now)

    def _gift(self, user: str, now: int) -> Result:
        if user not in self.promised:
            return None
        self._change(user, "gift", self.promised.pop(user), user)
        return ("Receipt", user, self.balance[user], now)

    def _change(self, user: str, kind: str, amount: int, reference: str) -> None:
        if amount:
            self.balance[user] += amount
            assert self.balance[user] >= 0, "the model itself never makes a balance negative"
            self.ledger.append((user, kind, amount, self.balance[user], reference))


def to_model(outcome: object) -> Result:
    """Convert an outcome of the product into the form that the model has."""
    match outcome:
        case None:
            return None
        case Receipt():
            return ("Receipt", outcome.reference, outcome.balance, outcome.at)
        case DomainError():
            return (type(outcome).__name__, *outcome.facts.values())
        case _:
            return (type(outcome).__name__,)
