"""The pure quota function, case by case; test_settlement_properties.py holds it against a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.durations import DAY
from actors.errors import IdempotencyKeyReused, NotMember, QuotaInsufficient
from actors.idempotency import IdempotencyKey
from actors.quota.commands import Adjust, Charge, Command, Expire, Grant, Receipt, Refund
from actors.quota.settlement import Facts, Settlement, end_id, settle
from storage.membership.orders import Order, OrderStatus, PaidOrder
from storage.quota.accounts import Account
from storage.quota.adjustments import Adjustment
from storage.quota.ledger import EntryKind
from storage.task.tasks import FailedTask, NewTask

NOW = 1_000_000_000_000
LATER = NOW + DAY


def charge(task: str = "t1", user: str = "u", amount: int = 1, key: IdempotencyKey | None = None) -> Charge:
    return Charge(NewTask(task, user, "basic_clean", "input", {}, NOW), amount, key)


def refund(task: str = "t1", user: str = "u") -> Refund:
    return Refund(FailedTask(task, user, "why", 1))


def grant(order: str = "o1", user: str = "u", quota: int = 10, rollover: bool = True) -> Grant:
    terms: dict[str, Any] = {"plan": "monthly", "amount": 9900, "quota": quota, "days": 30, "rollover": rollover}
    paid = Order(
        id=order,
        user_id=user,
        channel="wx",
        auto_renew=False,
        status=OrderStatus.PENDING,
        transaction_id=None,
        created_at=NOW,
        expires_at=LATER,
        finished_at=None,
        **terms,
    )
    return Grant(PaidOrder(paid, f"transaction of {order}"))


def adjust(amount: int, name: str = "a1", user: str = "u") -> Adjust:
    return Adjust(Adjustment(name, user, "because", NOW), amount)


def settled(batch: Sequence[Command], *accounts: Account, **facts: Any) -> Settlement:
    """Decide a batch in which every record can be won, unless the facts say otherwise."""
    users = {command.user_id for command in batch}
    records = {c.task for c in batch if isinstance(c, Refund)} | {c.paid for c in batch if isinstance(c, Grant)}
    known = {
        "now": NOW,
        "next_entry": 1,
        "accounts": {user: Account(user) for user in users} | {account.user_id: account for account in accounts},
        "charged": {},
        "won": records,
        "adjusted": set(),
        "answers": {},
        "gifts": {},
    }
    return settle(Facts(**{**known, **facts}), batch)


def member(balance: int, user: str = "u", expires_at: int = LATER) -> Account:
    return Account(user, balance, expires_at)


def changes(settlement: Settlement) -> list[tuple[EntryKind, int, int, str]]:
    return [(c.kind, c.amount, c.balance, c.reference) for c in settlement.entries]


def test_a_charge_takes_its_amount_and_brings_its_task() -> None:
    made = settled([charge(amount=3)], member(5))
    assert made.outcomes == [Receipt("t1", 2, NOW)]
    assert changes(made) == [(EntryKind.CHARGE, -3, 2, "t1")]
    assert [task.id for task in made.tasks] == ["t1"]
    assert made.accounts["u"].balance == 2


def test_a_batch_is_settled_in_order_of_arrival_until_nothing_is_left() -> None:
    made = settled([charge(f"t{n}") for n in range(5)], member(3))
    assert [type(outcome) for outcome in made.outcomes] == [Receipt] * 3 + [QuotaInsufficient] * 2
    assert [task.id for task in made.tasks] == ["t0", "t1", "t2"]
    assert made.accounts["u"].balance == 0


def test_one_persons_empty_account_does_not_touch_another() -> None:
    made = settled([charge("t1", "poor"), charge("t2", "rich")], member(0, "poor"), member(1, "rich"))
    assert isinstance(made.outcomes[0], QuotaInsufficient) and isinstance(made.outcomes[1], Receipt)


def test_without_a_membership_there_is_nothing_to_charge() -> None:
    made = settled([charge()])
    assert isinstance(made.outcomes[0], NotMember)
    assert made.entries == [] and made.tasks == [] and made.accounts == {}


def test_a_refund_gives_back_what_was_charged() -> None:
    made = settled([refund()], member(0), charged={"t1": 3})
    assert changes(made) == [(EntryKind.REFUND, 3, 3, "t1")]


def test_a_refund_whose_task_was_not_won_changes_nothing() -> None:
    made = settled([refund()], member(0), charged={"t1": 3}, won=set())
    assert made.outcomes == [None] and made.entries == []


def test_two_refunds_of_one_task_in_a_batch_pay_once() -> None:
    made = settled([refund(), refund()], member(0), charged={"t1": 1})
    assert made.outcomes == [Receipt("t1", 1, NOW), None]


def test_a_grant_adds_quota_and_days_to_a_running_membership() -> None:
    made = settled([grant()], member(4))
    assert made.accounts["u"] == Account("u", 14, LATER + 30 * DAY, last_entry=1)


def test_a_grant_without_a_running_membership_starts_now() -> None:
    assert settled([grant()]).accounts["u"] == Account("u", 10, NOW + 30 * DAY, last_entry=1)


def test_a_grant_is_credited_once_however_often_it_comes() -> None:
    made = settled([grant(), grant(), grant()])
    assert made.outcomes == [Receipt("o1", 10, NOW), None, None]


def test_a_plan_without_rollover_ends_what_was_left() -> None:
    made = settled([grant(rollover=False)], member(4))
    assert changes(made) == [(EntryKind.EXPIRE, -4, 0, "o1"), (EntryKind.GRANT, 10, 10, "o1")]


def test_a_membership_that_is_over_ends_before_anything_else() -> None:
    made = settled([charge(), grant(), charge("t2")], member(4, expires_at=NOW))
    assert [type(outcome) for outcome in made.outcomes] == [NotMember, Receipt, Receipt]
    assert changes(made) == [
        (EntryKind.EXPIRE, -4, 0, end_id("u", NOW)),
        (EntryKind.GRANT, 10, 10, "o1"),
        (EntryKind.CHARGE, -1, 9, "t2"),
    ]


def test_expire_ends_only_what_is_over() -> None:
    assert settled([Expire("u")], member(4)).entries == []
    made = settled([Expire("u"), Expire("u")], member(4, expires_at=NOW))
    assert changes(made) == [(EntryKind.EXPIRE, -4, 0, end_id("u", NOW))]
    assert made.accounts["u"] == Account("u", 0, 0, last_entry=1)


def test_a_refund_after_the_end_can_still_be_spent() -> None:
    made = settled([refund(), charge("t2")], member(0, expires_at=NOW), charged={"t1": 1})
    assert made.outcomes == [Receipt("t1", 1, NOW), Receipt("t2", 0, NOW)]


def test_an_adjustment_never_makes_a_debt_and_happens_once() -> None:
    assert isinstance(settled([adjust(-5)], member(4)).outcomes[0], QuotaInsufficient)
    assert settled([adjust(-4), adjust(-4)], member(4)).outcomes == [Receipt("a1", 0, NOW), None]
    assert settled([adjust(5)], member(4), adjusted={"a1"}).outcomes == [None]


def test_one_key_gives_one_task_and_one_answer() -> None:
    key = IdempotencyKey("k", b"body")
    made = settled([charge("t1", key=key), charge("t2", key=key)], member(5))
    assert made.outcomes == [Receipt("t1", 4, NOW), Receipt("t1", 4, NOW)]
    assert [task.id for task in made.tasks] == ["t1"]
    again = settled([charge("t3", key=key)], member(4), answers=made.answers)
    assert again.outcomes == [Receipt("t1", 4, NOW)] and again.entries == []


def test_one_key_with_another_body_is_refused() -> None:
    first, other = IdempotencyKey("k", b"body"), IdempotencyKey("k", b"another")
    made = settled([charge("t1", key=first), charge("t2", key=other)], member(5))
    assert isinstance(made.outcomes[1], IdempotencyKeyReused)
    assert made.accounts["u"].balance == 4


def test_a_refusal_is_remembered_under_its_key() -> None:
    key = IdempotencyKey("k", b"body")
    made = settled([charge("t1", key=key), grant(), charge("t2", key=key)])
    assert [type(outcome) for outcome in made.outcomes] == [NotMember, Receipt, NotMember]
    assert made.tasks == []


def test_a_key_belongs_to_its_person() -> None:
    key = IdempotencyKey("k", b"body")
    made = settled([charge("t1", "u", key=key), charge("t2", "v", key=key)], member(1, "u"), member(1, "v"))
    assert [task.id for task in made.tasks] == ["t1", "t2"]
