"""The pure function that decides a batch of quota commands over the accounts that they concern.

Each command carries the record that explains it, and takes effect at most once: the record is new (the task of a
charge, an adjustment), or this transaction has won its final state (a failed task, a paid order, a gift). Otherwise
nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.durations import DAY
from actors.errors import DomainError, IdempotencyKeyReused, NotMember, QuotaInsufficient
from actors.idempotency import IdempotencyKey
from actors.quota.batch_state import BatchState, Settlement, StoredState
from actors.quota.commands import Adjust, Charge, ChargeOperator, Command, Expire, Gift, Grant, Outcome, Receipt, Refund
from storage.quota.adjustments import Adjustment
from storage.quota.idempotency import StoredAnswer
from storage.quota.ledger import EntryKind


def settle(stored: StoredState, batch: Sequence[Command]) -> Settlement:
    """Decide the commands in their order. Balances never become negative; the result has changed accounts only."""
    state = BatchState(stored)
    for command in batch:
        state.expire_if_due(command.user_id)
        state.result.outcomes.append(_decide(state, command))
    return state.result


def _decide(state: BatchState, command: Command) -> Outcome:
    match command:
        case Charge():
            return _charge(state, command)
        case ChargeOperator():
            return _charge_operator(state, command)
        case Refund():
            return _refund(state, command)
        case Grant():
            return _grant(state, command)
        case Adjust():
            return _adjust(state, command)
        case Gift():
            return _gift(state, command)
        case Expire():
            return None  # `settle` has just ended the membership if its time is over, as before every command


def _charge(state: BatchState, command: Charge) -> Outcome:
    if command.key is None:
        return command.refusal or _charge_once(state, command)
    key = (command.user_id, command.key.key)
    answer = state.answer(key)
    if answer is None and command.refusal is not None:
        return command.refusal
    if answer is None:
        outcome = _charge_once(state, command)
        state.result.answers[key] = _to_answer(state, command, command.key, outcome)
        return outcome
    if answer.digest != command.key.digest:
        return IdempotencyKeyReused()
    return _from_answer(answer, command.amount)


def _charge_once(state: BatchState, command: Charge) -> Receipt | DomainError:
    account = state.account(command.user_id)
    if account.balance < command.amount:
        name = QuotaInsufficient.__name__ if account.expires_at else NotMember.__name__
        return _refusal(name, command.amount, account.balance)
    state.result.tasks.append(command.task)
    receipt = state.post(command.user_id, EntryKind.CHARGE, -command.amount, command.task.id)
    return Receipt(receipt.reference, receipt.balance, command.task.created_at)


def _charge_operator(state: BatchState, command: ChargeOperator) -> Outcome:
    task = command.task
    state.result.adjustments.append(Adjustment(task.id, task.user_id, command.reason, task.created_at))
    state.post(task.user_id, EntryKind.ADJUST, command.amount, task.id)
    return _charge_once(state, Charge(task, command.amount))


def _refund(state: BatchState, command: Refund) -> Outcome:
    if command.task not in state.stored.won or state.is_settled(EntryKind.REFUND, command.task.id):
        return None
    return state.post(command.user_id, EntryKind.REFUND, state.stored.charged[command.task.id], command.task.id)


def _grant(state: BatchState, command: Grant) -> Outcome:
    order = command.paid.order
    if command.paid not in state.stored.won or state.is_settled(EntryKind.GRANT, order.id):
        return None
    account = state.account(order.user_id)
    if account.balance and account.expires_at and not order.rollover:
        state.post(order.user_id, EntryKind.EXPIRE, -account.balance, order.id)
    receipt = state.post(order.user_id, EntryKind.GRANT, order.quota, order.id)
    expires_at = max(account.expires_at, state.now) + order.days * DAY
    state.save_account(state.account(order.user_id)._replace(expires_at=expires_at))
    return receipt


def _adjust(state: BatchState, command: Adjust) -> Outcome:
    adjustment = command.adjustment
    if adjustment.id in state.stored.adjusted or state.is_settled(EntryKind.ADJUST, adjustment.id):
        return None
    balance = state.account(command.user_id).balance
    if balance + command.amount < 0:
        return QuotaInsufficient(needed=-command.amount, remaining=balance)
    state.result.adjustments.append(adjustment)
    return state.post(command.user_id, EntryKind.ADJUST, command.amount, adjustment.id)


def _gift(state: BatchState, command: Gift) -> Outcome:
    amount = state.stored.gifts.get(command.user_id)
    if amount is None or state.is_settled(EntryKind.GIFT, command.user_id):
        return None
    return state.post(command.user_id, EntryKind.GIFT, amount, command.user_id)


def _refusal(name: str, needed: int, remaining: int) -> DomainError:
    return NotMember() if name == NotMember.__name__ else QuotaInsufficient(needed=needed, remaining=remaining)


def _to_answer(state: BatchState, command: Charge, key: IdempotencyKey, outcome: Receipt | DomainError) -> StoredAnswer:
    is_refused = isinstance(outcome, DomainError)
    return StoredAnswer(
        user_id=command.user_id,
        key=key.key,
        digest=key.digest,
        task_id=None if is_refused else command.task.id,
        refusal=type(outcome).__name__ if is_refused else None,
        balance=state.account(command.user_id).balance,
        created_at=command.task.created_at,
    )


def _from_answer(answer: StoredAnswer, amount: int) -> Outcome:
    if answer.task_id is not None:
        return Receipt(answer.task_id, answer.balance, answer.created_at)
    assert answer.refusal is not None, "a stored answer is a task or a refusal"
    return _refusal(answer.refusal, amount, answer.balance)
