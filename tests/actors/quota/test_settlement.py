"""Single cases of the pure function `settle`; test_settlement_properties.py compares it with a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from actors.durations import DAY
from actors.errors import FileMissing, IdempotencyKeyReused, NotMember, QuotaInsufficient
from actors.idempotency import IdempotencyKey
from actors.quota.batch_state import Settlement, StoredState, expiry_reference
from actors.quota.commands import Adjust, Charge, ChargeOperator, Command, Expire, Grant, Receipt, Refund
from actors.quota.settlement import settle
from storage.membership.orders import Order, OrderStatus, PaidOrder
from storage.quota.accounts import Account
from storage.quota.adjustments import Adjustment
from storage.quota.ledger import EntryKind
from storage.task.tasks import FailedTask, NewTask

NOW = 1_000_000_000_000
LATER = NOW + DAY


def charge(task: str = "t1", user: str = "u", amount: int = 1, key: IdempotencyKey | None = None) -> Charge:
    return Charge(NewTask(task, user, "basic_clean", "input", {}, NOW), amount, key)


def charge_operator(task: str = "t1", user: str = "u", amount: int = 3) -> ChargeOperator:
    return ChargeOperator(NewTask(task, user, "basic_clean", "input", {}, NOW), amount, "because")


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


def settle_batch(batch: Sequence[Command], *accounts: Account, **stored: Any) -> Settlement:
    """Decide a batch in which every record is won, unless `stored` says otherwise."""
    users = {command.user_id for command in batch}
    records = {c.task for c in batch if isinstance(c, Refund)} | {c.paid for c in batch if isinstance(c, Grant)}
    defaults = {
        "now": NOW,
        "next_entry": 1,
        "accounts": {user: Account(user) for user in users} | {account.user_id: account for account in accounts},
        "charged": {},
        "won": records,
        "adjusted": set(),
        "answers": {},
        "gifts": {},
    }
    return settle(StoredState(**{**defaults, **stored}), batch)


def member(balance: int, user: str = "u", expires_at: int = LATER) -> Account:
    return Account(user, balance, expires_at)


def changes(settlement: Settlement) -> list[tuple[EntryKind, int, int, str]]:
    return [(c.kind, c.amount, c.balance, c.reference) for c in settlement.entries]


def test_a_charge_takes_its_amount_and_creates_its_task() -> None:
    result = settle_batch([charge(amount=3)], member(5))
    assert result.outcomes == [Receipt("t1", 2, NOW)]
    assert changes(result) == [(EntryKind.CHARGE, -3, 2, "t1")]
    assert [task.id for task in result.tasks] == ["t1"]
    assert result.accounts["u"].balance == 2


def test_a_batch_is_decided_in_its_order_until_the_balance_is_empty() -> None:
    result = settle_batch([charge(f"t{n}") for n in range(5)], member(3))
    assert [type(outcome) for outcome in result.outcomes] == [Receipt] * 3 + [QuotaInsufficient] * 2
    assert [task.id for task in result.tasks] == ["t0", "t1", "t2"]
    assert result.accounts["u"].balance == 0


def test_an_empty_account_does_not_affect_another_user() -> None:
    result = settle_batch([charge("t1", "poor"), charge("t2", "rich")], member(0, "poor"), member(1, "rich"))
    assert isinstance(result.outcomes[0], QuotaInsufficient) and isinstance(result.outcomes[1], Receipt)


def test_a_charge_without_balance_or_membership_is_refused_as_not_member() -> None:
    result = settle_batch([charge()])
    assert isinstance(result.outcomes[0], NotMember)
    assert result.entries == [] and result.tasks == [] and result.accounts == {}


def test_a_task_that_the_operator_pays_for_leaves_the_balance_as_it_was() -> None:
    result = settle_batch([charge_operator()], member(2))
    assert result.outcomes == [Receipt("t1", 2, NOW)]
    assert changes(result) == [(EntryKind.ADJUST, 3, 5, "t1"), (EntryKind.CHARGE, -3, 2, "t1")]
    assert [task.id for task in result.tasks] == ["t1"]
    assert result.adjustments == [Adjustment("t1", "u", "because", NOW)]


def test_the_operator_can_pay_for_a_user_whose_membership_has_ended() -> None:
    result = settle_batch([charge_operator()], member(4, expires_at=NOW))
    assert [kind for kind, *_ in changes(result)] == [EntryKind.EXPIRE, EntryKind.ADJUST, EntryKind.CHARGE]
    assert result.accounts["u"].balance == 0 and [task.id for task in result.tasks] == ["t1"]


def test_a_refund_returns_the_amount_that_was_charged() -> None:
    result = settle_batch([refund()], member(0), charged={"t1": 3})
    assert changes(result) == [(EntryKind.REFUND, 3, 3, "t1")]


def test_a_refund_whose_task_was_not_won_changes_nothing() -> None:
    result = settle_batch([refund()], member(0), charged={"t1": 3}, won=set())
    assert result.outcomes == [None] and result.entries == []


def test_two_refunds_of_one_task_in_a_batch_refund_once() -> None:
    result = settle_batch([refund(), refund()], member(0), charged={"t1": 1})
    assert result.outcomes == [Receipt("t1", 1, NOW), None]


def test_a_grant_adds_quota_and_days_to_a_running_membership() -> None:
    result = settle_batch([grant()], member(4))
    assert result.accounts["u"] == Account("u", 14, LATER + 30 * DAY, last_entry=1)


def test_a_grant_without_a_running_membership_starts_now() -> None:
    assert settle_batch([grant()]).accounts["u"] == Account("u", 10, NOW + 30 * DAY, last_entry=1)


def test_a_repeated_grant_is_credited_once() -> None:
    result = settle_batch([grant(), grant(), grant()])
    assert result.outcomes == [Receipt("o1", 10, NOW), None, None]


def test_without_rollover_the_remaining_quota_lapses() -> None:
    result = settle_batch([grant(rollover=False)], member(4))
    assert changes(result) == [(EntryKind.EXPIRE, -4, 0, "o1"), (EntryKind.GRANT, 10, 10, "o1")]


def test_an_ended_membership_is_closed_before_any_command() -> None:
    result = settle_batch([charge(), grant(), charge("t2")], member(4, expires_at=NOW))
    assert [type(outcome) for outcome in result.outcomes] == [NotMember, Receipt, Receipt]
    assert changes(result) == [
        (EntryKind.EXPIRE, -4, 0, expiry_reference("u", NOW)),
        (EntryKind.GRANT, 10, 10, "o1"),
        (EntryKind.CHARGE, -1, 9, "t2"),
    ]


def test_expire_closes_only_ended_memberships() -> None:
    assert settle_batch([Expire("u")], member(4)).entries == []
    result = settle_batch([Expire("u"), Expire("u")], member(4, expires_at=NOW))
    assert changes(result) == [(EntryKind.EXPIRE, -4, 0, expiry_reference("u", NOW))]
    assert result.accounts["u"] == Account("u", 0, 0, last_entry=1)


def test_a_refund_after_the_end_of_the_membership_can_be_spent() -> None:
    result = settle_batch([refund(), charge("t2")], member(0, expires_at=NOW), charged={"t1": 1})
    assert result.outcomes == [Receipt("t1", 1, NOW), Receipt("t2", 0, NOW)]


def test_an_adjustment_takes_effect_once_and_never_makes_the_balance_negative() -> None:
    assert isinstance(settle_batch([adjust(-5)], member(4)).outcomes[0], QuotaInsufficient)
    assert settle_batch([adjust(-4), adjust(-4)], member(4)).outcomes == [Receipt("a1", 0, NOW), None]
    assert settle_batch([adjust(5)], member(4), adjusted={"a1"}).outcomes == [None]


def test_an_idempotency_key_gives_one_task_and_one_answer() -> None:
    key = IdempotencyKey("k", b"body")
    result = settle_batch([charge("t1", key=key), charge("t2", key=key)], member(5))
    assert result.outcomes == [Receipt("t1", 4, NOW), Receipt("t1", 4, NOW)]
    assert [task.id for task in result.tasks] == ["t1"]
    again = settle_batch([charge("t3", key=key)], member(4), answers=result.answers)
    assert again.outcomes == [Receipt("t1", 4, NOW)] and again.entries == []


def test_an_idempotency_key_with_another_request_is_refused() -> None:
    first, other = IdempotencyKey("k", b"body"), IdempotencyKey("k", b"another")
    result = settle_batch([charge("t1", key=first), charge("t2", key=other)], member(5))
    assert isinstance(result.outcomes[1], IdempotencyKeyReused)
    assert result.accounts["u"].balance == 4


def test_a_refusal_is_the_answer_to_its_key_as_well() -> None:
    key = IdempotencyKey("k", b"body")
    result = settle_batch([charge("t1", key=key), grant(), charge("t2", key=key)])
    assert [type(outcome) for outcome in result.outcomes] == [NotMember, Receipt, NotMember]
    assert result.tasks == []


def test_a_charge_with_a_refusal_only_repeats_the_answer_to_its_key() -> None:
    key, refusal = IdempotencyKey("k", b"digest"), FileMissing()
    for unanswered in (charge(key=key), charge()):
        result = settle_batch([replace(unanswered, refusal=refusal)], member(5))
        assert result.outcomes == [refusal]
        assert not (result.tasks or result.entries or result.answers)
    first, again = settle_batch([charge(key=key), replace(charge("t2", key=key), refusal=refusal)], member(5)).outcomes
    assert first == again


def test_an_idempotency_key_belongs_to_its_user() -> None:
    key = IdempotencyKey("k", b"body")
    result = settle_batch([charge("t1", "u", key=key), charge("t2", "v", key=key)], member(1, "u"), member(1, "v"))
    assert [task.id for task in result.tasks] == ["t1", "t2"]
