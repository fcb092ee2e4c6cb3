"""What the outside was told, held against the rows: at each answer, after each restart and at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from actors.errors import DomainError
from actors.idempotency import IdempotencyKey
from actors.ports import Payment, PaymentState
from actors.quota.messages import Balance
from actors.task.messages import Task, TaskCreated, TaskStatus
from storage.engine.connection import Connection
from storage.quota.ledger import EntryKind
from tests.support.invariants import audit_violations
from tests.torture.simulation.schedule import Script
from tests.torture.simulation.services import SimulatedClock

FINAL = (TaskStatus.SUCCESS, TaskStatus.FAILED)


@dataclass(slots=True)
class Wish:
    """One task that somebody wants, in as many attempts as it takes. `input_key` names it in the rows."""

    user_id: str
    type: str
    input_key: str
    key: IdempotencyKey | None
    answer: TaskCreated | DomainError | None = None
    open: int = 0  # attempts under way
    unknown: int = 0  # attempts whose outcome nobody was told


@dataclass(slots=True)
class Witness:
    connection: Connection
    script: Script
    clock: SimulatedClock
    checked: int = 0
    violations: list[str] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    entries: dict[tuple[EntryKind, str], str] = field(default_factory=dict)  # confirmed: (kind, reference) to user id
    unknown: set[tuple[EntryKind, str]] = field(default_factory=set)
    missing: set[tuple[EntryKind, str]] = field(default_factory=set)  # refused: must never be there
    positions: Counter[str] = field(default_factory=Counter)  # how much of a person's ledger has been confirmed
    finals: dict[str, tuple[object, ...]] = field(default_factory=dict)
    taken_over: set[str] = field(default_factory=set)  # tasks that a worker elsewhere was told it holds
    orders: set[str] = field(default_factory=set)

    def check(self, holds: bool, promise: str) -> None:
        self.checked += 1
        if not holds:
            self.script.step(f"VIOLATION: {promise}")
            self.violations.append(promise)

    def rows(self, sql: str, *arguments: object) -> list[Any]:
        return self.connection.execute(sql, arguments).fetchall()

    # --- at an answer ---

    def created(self, wish: Wish, answer: TaskCreated) -> None:
        self.script.step(f"{wish.input_key} is task {answer.task_id[-6:]}, {answer.balance} left")
        if isinstance(wish.answer, TaskCreated):
            self.check(answer == wish.answer, f"one key, one answer: {wish.answer}, then {answer}")
            return
        self.check(wish.answer is None, f"{wish.input_key} was refused ({wish.answer!r}), then created")
        wish.answer = answer
        balance = self.confirm(wish.user_id, EntryKind.CHARGE, answer.task_id)
        self.check(balance == answer.balance, f"the charge of {wish.input_key} left {balance}, not {answer.balance}")
        self.check(self.tasks_of(wish) == [answer.task_id], f"{wish.input_key} has one task when that is answered")

    def refused(self, wish: Wish, refusal: DomainError) -> None:
        self.script.step(f"{wish.input_key} is refused: {refusal!r}")
        if wish.answer is None:
            wish.answer = refusal
            return
        same = type(wish.answer) is type(refusal) and str(wish.answer) == str(refusal)
        self.check(same, f"one key, one answer: {wish.answer!r}, then {refusal!r}")

    def postponed(self, wish: Wish, fault: Exception) -> None:
        """Nothing was done, it was said: nothing is there, unless another attempt did it."""
        self.script.step(f"{wish.input_key}: not now ({fault!r})")
        if wish.open == 1 and not wish.unknown and wish.answer is None:
            self.check(not self.tasks_of(wish), f"{wish.input_key} was not created ({fault!r}), and is there")

    def not_done(self, kind: EntryKind, reference: str) -> None:
        """It was refused: it is not there, unless an earlier attempt did it."""
        if (kind, reference) not in self.entries.keys() | self.unknown:
            done = self.rows("SELECT 1 FROM ledger WHERE kind = ? AND reference = ?", kind, reference)
            self.check(not done, f"the {kind} of {reference} was refused, and done")

    def confirm(self, user_id: str, kind: EntryKind, reference: str) -> int | None:
        """Something was answered that this ledger entry explains; the balance it left."""
        found = self.rows("SELECT id, balance FROM ledger WHERE kind = ? AND reference = ?", kind, reference)
        self.check(len(found) == 1, f"the {kind} of {reference} is on disk when it is answered")
        if not found:
            return None
        self.entries[kind, reference] = user_id
        ((position,),) = self.rows("SELECT COUNT(*) FROM ledger WHERE user_id = ? AND id <= ?", user_id, found[0][0])
        self.positions[user_id] = max(self.positions[user_id], position)
        return int(found[0][1])

    def saw(self, task: Task, was_final: bool) -> None:
        """Somebody was shown a task, of which somebody had seen the final state before they asked (or had not)."""
        if task.status in FINAL:
            self.final(task.id, task.status, tuple(task.results), task.error)
        else:
            self.check(not was_final, f"task {task.id} was final, and is now {task.status}")

    def final(self, task_id: str, status: TaskStatus, *more: object) -> None:
        shown = (status, *more)
        self.check(
            self.finals.setdefault(task_id, shown) == shown,
            f"task {task_id} was {self.finals[task_id]}, and is now {shown}",
        )
        ((kept,),) = self.rows("SELECT status FROM tasks WHERE id = ?", task_id)
        self.check(kept == status, f"task {task_id} was shown as {status}, and is {kept} on disk")

    def balance_read(self, user_id: str, confirmed: int, balance: Balance) -> None:
        """A read shows the ledger as it was somewhere between its beginning (`confirmed` entries) and now."""
        self.script.step(f"{user_id[-4:]} reads {balance.remaining}")
        left = [0, *(row[0] for row in self.rows("SELECT balance FROM ledger WHERE user_id = ? ORDER BY id", user_id))]
        ended = self.rows(
            "SELECT 1 FROM accounts WHERE user_id = ? AND expires_at BETWEEN 1 AND ?", user_id, self.clock.now()
        )
        possible = {*left[confirmed:], *([0] if ended and not balance.is_member else [])}
        self.check(balance.remaining in possible, f"{user_id} read {balance.remaining}, possible was {possible}")

    # --- after a restart, and at the end ---

    def everything_holds(self) -> None:
        for rule in audit_violations(self.connection):
            self.check(False, rule)
        for what, id, former, later in self.rows("SELECT * FROM temp.changed_finals"):
            self.check(False, f"the final state of {what} {id} changed from {former} to {later}")
        kept = {(kind, reference) for kind, reference in self.rows("SELECT kind, reference FROM ledger")}
        self.check(self.entries.keys() <= kept, f"answered, but lost: {self.entries.keys() - kept}")
        self.check(not self.missing & kept, f"refused, but done: {self.missing & kept}")
        self.check(self.orders <= {id for (id,) in self.rows("SELECT id FROM orders")}, "answered orders are kept")
        ungiven = self.rows("SELECT id FROM users EXCEPT SELECT user_id FROM signup_gifts")
        self.check(not ungiven, f"{ungiven} are new people to whom nothing was promised")
        for wish in self.wishes:
            self._wish_holds(wish)
        made_here = {id for (id,) in self.rows("SELECT id FROM tasks WHERE results LIKE '%output/%'")}
        stolen = made_here & self.taken_over
        self.check(not stolen, f"{stolen} were taken over, and ended by who had held them before")
        stored = dict(self.rows("SELECT id, status FROM tasks"))
        for task_id, (status, *_) in self.finals.items():
            self.check(stored.get(task_id) == status, f"task {task_id} was {status}, and is now {stored.get(task_id)}")

    def _wish_holds(self, wish: Wish) -> None:
        made = self.tasks_of(wish)
        if isinstance(wish.answer, TaskCreated):
            self.check(made == [wish.answer.task_id], f"{wish.input_key} was created once, as answered: {made}")
        elif wish.answer is not None:
            self.check(not made, f"{wish.input_key} was refused, and left {made}")
        else:
            possible = min(1, wish.open + wish.unknown)
            self.check(len(made) <= possible, f"{wish.input_key}: at most {possible} can be there, {made} are")

    def payments_hold(self, books: list[Payment]) -> None:
        """What the gateways know is what was credited; to be asked when there was time to learn it."""
        kept = {id: (status, by) for id, status, by in self.rows("SELECT id, status, transaction_id FROM orders")}
        for payment in books:
            status, paid_by = kept[payment.order_id]
            if payment.state is PaymentState.PAID:
                self.check(
                    (status, paid_by) == ("paid", payment.transaction_id), f"{payment} was made, its order is {status}"
                )
            else:
                self.check(status != "paid", f"{payment} is what the gateway knows, its order is {status}")

    def unfinished(self) -> list[tuple[str, str]]:
        return [
            *self.rows("SELECT id, status FROM tasks WHERE status IN ('pending', 'processing')"),
            *self.rows("SELECT id, status FROM orders WHERE status = 'pending'"),
            *self.rows("SELECT user_id, 'a gift' FROM signup_gifts WHERE granted_at IS NULL"),
        ]

    def tasks_of(self, wish: Wish) -> list[str]:
        return [id for (id,) in self.rows("SELECT id FROM tasks WHERE input_key = ?", wish.input_key)]
