"""What can be asked of a balance. Each command carries the record that explains it, and they commit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from actors.errors import DomainError
from actors.idempotency import IdempotencyKey
from actors.runtime import Message
from storage.membership.orders import PaidOrder
from storage.quota.adjustments import Adjustment
from storage.task.tasks import FailedTask, NewTask


class Receipt(NamedTuple):
    """A command was settled. `balance` is what it left; `reference` what explains it; `at` when it happened first."""

    reference: str
    balance: int
    at: int


@dataclass(frozen=True, slots=True)
class Charge(Message[Receipt]):
    """Pay `amount` for a task that comes into being with it.

    Raises NotMember, QuotaInsufficient, IdempotencyKeyReused.
    """

    task: NewTask
    amount: int
    key: IdempotencyKey | None = None

    @property
    def user_id(self) -> str:
        return self.task.user_id


@dataclass(frozen=True, slots=True)
class Refund(Message[Receipt | None]):
    """Fail a task and give back what it was charged; None when the task was final already or the lease is lost."""

    task: FailedTask

    @property
    def user_id(self) -> str:
        return self.task.user_id


@dataclass(frozen=True, slots=True)
class Grant(Message[Receipt | None]):
    """Mark an order paid and give what it bought; None when the order was not pending any more."""

    paid: PaidOrder

    @property
    def user_id(self) -> str:
        return self.paid.order.user_id


@dataclass(frozen=True, slots=True)
class Expire(Message[None]):
    """End a membership whose time is over, and the quota left in it."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Adjust(Message[Receipt | None]):
    """An operator's change by a signed `amount`; None when it was made before. Raises QuotaInsufficient."""

    adjustment: Adjustment
    amount: int

    @property
    def user_id(self) -> str:
        return self.adjustment.user_id


@dataclass(frozen=True, slots=True)
class Gift(Message[Receipt | None]):
    """Give a new person what was promised to them; None when nothing was, or they have had it."""

    user_id: str


Command = Charge | Refund | Grant | Expire | Adjust | Gift
Outcome = Receipt | DomainError | None
