"""The commands that change a balance. Each carries the record that explains it, and both commit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from actors.errors import DomainError
from actors.idempotency import IdempotencyKey
from actors.message import Message
from storage.membership.orders import PaidOrder
from storage.quota.adjustments import Adjustment
from storage.task.tasks import FailedTask, NewTask


class Receipt(NamedTuple):
    """The result of a command that took effect.

    `reference` is the id of the explaining record, `balance` what the user had afterwards, `at` the time (epoch
    milliseconds) at which the command took effect for the first time.
    """

    reference: str
    balance: int
    at: int


@dataclass(frozen=True, slots=True)
class Charge(Message[Receipt]):
    """Create a task and charge `amount` generations for it.

    With `refusal`, only the stored answer to the key is returned; if there is none, that error is raised, and it is not
    stored.
    Raises NotMember, QuotaInsufficient, IdempotencyKeyReused.
    """

    task: NewTask
    amount: int
    key: IdempotencyKey | None = None
    refusal: DomainError | None = None

    @property
    def user_id(self) -> str:
        return self.task.user_id


@dataclass(frozen=True, slots=True)
class ChargeOperator(Message[Receipt]):
    """Create a task that the operator pays for, by an adjustment of `amount` generations with this `reason`.

    The adjustment has the id of the task, so that its ledger entry shows what it has paid for.
    """

    task: NewTask
    amount: int
    reason: str

    @property
    def user_id(self) -> str:
        return self.task.user_id


@dataclass(frozen=True, slots=True)
class Refund(Message[Receipt | None]):
    """Fail a task and refund its charge. Replies None when the task was final already or its lease was lost."""

    task: FailedTask

    @property
    def user_id(self) -> str:
        return self.task.user_id


@dataclass(frozen=True, slots=True)
class Grant(Message[Receipt | None]):
    """Mark an order as paid and grant its quota and days. Replies None when the order was no longer pending."""

    paid: PaidOrder

    @property
    def user_id(self) -> str:
        return self.paid.order.user_id


@dataclass(frozen=True, slots=True)
class Expire(Message[None]):
    """End a membership whose time is over; its remaining quota lapses."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Adjust(Message[Receipt | None]):
    """Change a balance by a signed `amount`, for an operator. Replies None when this adjustment was made before.

    Raises QuotaInsufficient.
    """

    adjustment: Adjustment
    amount: int

    @property
    def user_id(self) -> str:
        return self.adjustment.user_id


@dataclass(frozen=True, slots=True)
class Gift(Message[Receipt | None]):
    """Grant a user the promised signup gift. Replies None when none was promised or it was granted before."""

    user_id: str


Command = Charge | ChargeOperator | Refund | Grant | Expire | Adjust | Gift
Outcome = Receipt | DomainError | None
