"""The oracle compares what clients were answered with the rows: at each answer, after each restart and at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from actors.errors import DomainError
from actors.ports import Payment, PaymentState
from actors.quota.messages import Balance
from actors.task.messages import Task, TaskCreated, TaskStatus
from storage.engine.connection import Connection
from storage.quota.ledger import EntryKind
from tests.support.invariants import audit_violations
from tests.torture.simulation.schedule import Schedule
from tests.torture.simulation.services import SimulatedClock

FINAL = (TaskStatus.SUCCESS, TaskStatus.FAILED)


@dataclass(slots=True)
class TaskRequest:
    """One task that a user wants, over all attempts to create it. `input_key` identifies it in the rows."""

    user_id: str
    type: str
    input_key: str
    key: str | None
    answer: TaskCreated | DomainError | None = None
    in_flight: int = 0  # attempts without an outcome yet
    unknown: int = 0  # attempts whose outcome the client did not learn


@dataclass(slots=True)
class Oracle:
    connection: Connection
    schedule: Schedule
    clock: SimulatedClock
    checked: int = 0
    violations: list[str] = field(default_factory=list)
    requests: list[TaskRequest] = field(default_factory=list)
    entries: dict[tuple[EntryKind, str], str] = field(default_factory=dict)  # confirmed: (kind, reference) to user id
    unknown_entries: set[tuple[EntryKind, str]] = field(default_factory=set)
    refused_entries: set[tuple[EntryKind, str]] = field(default_factory=set)  # these must never exist
    positions: Counter[str] = field(default_factory=Counter)  # how many entries of a user's ledger are confirmed
    final_states: dict[str, tuple[object, ...]] = field(default_factory=dict)  # as shown to a client, by task id
    taken_over: set[str] = field(default_factory=set)  # tasks whose lease was given to an external worker
    orders: set[str] = field(default_factory=set)

    def check(self, holds: bool, promise: str) -> None:
        self.checked += 1
        if not holds:
            self.schedule.step(f"VIOLATION: {promise}")
            self.violations.append(promise)

    def rows(self, sql: str, *arguments: object) -> list[Any]:
        return self.connection.execute(sql, arguments).fetchall()

    # --- at an answer ---

    def task_created(self, request: TaskRequest, answer: TaskCreated) -> None:
        name = request.input_key
        self.schedule.step(f"{name} is task {answer.task_id[-6:]}, balance {answer.balance}")
        if isinstance(request.answer, TaskCreated):
            self.check(answer == request.answer, f"one key, one answer: {request.answer}, then {answer}")
            return
        self.check(request.answer is None, f"{name} was refused ({request.answer!r}), then created")
        request.answer = answer
        balance = self.confirm(request.user_id, EntryKind.CHARGE, answer.task_id)
        self.check(balance == answer.balance, f"the charge of {name} left {balance}, not {answer.balance}")
        self.check(self.stored_tasks(request) == [answer.task_id], f"{name} has one task when that is answered")

    def task_refused(self, request: TaskRequest, refusal: DomainError) -> None:
        self.schedule.step(f"{request.input_key} is refused: {refusal!r}")
        if request.answer is None:
            request.answer = refusal
            return
        same = type(request.answer) is type(refusal) and str(request.answer) == str(refusal)
        self.check(same, f"one key, one answer: {request.answer!r}, then {refusal!r}")

    def task_not_created(self, request: TaskRequest, error: Exception) -> None:
        """The answer says that nothing was done, so no task may exist unless another attempt created it."""
        name = request.input_key
        self.schedule.step(f"{name}: not created ({error!r})")
        if request.in_flight == 1 and not request.unknown and request.answer is None:
            self.check(not self.stored_tasks(request), f"{name} was answered as not created ({error!r}) and exists")

    def entry_refused(self, kind: EntryKind, reference: str) -> None:
        """The answer is a refusal, so no entry may exist unless an earlier attempt made it."""
        if (kind, reference) not in self.entries.keys() | self.unknown_entries:
            rows = self.rows("SELECT 1 FROM ledger WHERE kind = ? AND reference = ?", kind, reference)
            self.check(not rows, f"the {kind} of {reference} was refused, and done")

    def confirm(self, user_id: str, kind: EntryKind, reference: str) -> int | None:
        """Note a ledger entry that explains an answer. Return the balance after it, or None if it is missing."""
        rows = self.rows("SELECT id, balance FROM ledger WHERE kind = ? AND reference = ?", kind, reference)
        self.check(len(rows) == 1, f"the {kind} of {reference} is on disk when it is answered")
        if not rows:
            return None
        self.entries[kind, reference] = user_id
        ((position,),) = self.rows("SELECT COUNT(*) FROM ledger WHERE user_id = ? AND id <= ?", user_id, rows[0][0])
        self.positions[user_id] = max(self.positions[user_id], position)
        return int(rows[0][1])

    def task_shown(self, task: Task, was_final: bool) -> None:
        """Check a task that a client read. `was_final`: its final state had been shown before the client asked."""
        if task.status in FINAL:
            self.final_state_shown(task.id, task.status, tuple(task.results), task.error)
        else:
            self.check(not was_final, f"task {task.id} was final, and is now {task.status}")

    def final_state_shown(self, task_id: str, status: TaskStatus, *details: object) -> None:
        shown = (status, *details)
        self.check(
            self.final_states.setdefault(task_id, shown) == shown,
            f"task {task_id} was {self.final_states[task_id]}, and is now {shown}",
        )
        ((stored,),) = self.rows("SELECT status FROM tasks WHERE id = ?", task_id)
        self.check(stored == status, f"task {task_id} was shown as {status}, and is {stored} on disk")

    def balance_shown(self, user_id: str, confirmed: int, balance: Balance) -> None:
        """A read shows the ledger at some time between the start of the read (`confirmed` entries) and now."""
        self.schedule.step(f"{user_id[-4:]} reads {balance.remaining}")
        rows = self.rows("SELECT balance FROM ledger WHERE user_id = ? ORDER BY id", user_id)
        balances = [0, *(row[0] for row in rows)]
        expired = self.rows(
            "SELECT 1 FROM accounts WHERE user_id = ? AND expires_at BETWEEN 1 AND ?", user_id, self.clock.now()
        )
        possible = {*balances[confirmed:], *([0] if expired and not balance.is_member else [])}
        self.check(balance.remaining in possible, f"{user_id} read {balance.remaining}, possible was {possible}")

    # --- after a restart, and at the end ---

    def check_all(self) -> None:
        for violation in audit_violations(self.connection):
            self.check(False, violation)
        for what, id, former, later in self.rows("SELECT * FROM temp.changed_finals"):
            self.check(False, f"the final state of {what} {id} changed from {former} to {later}")
        entries = {(kind, reference) for kind, reference in self.rows("SELECT kind, reference FROM ledger")}
        self.check(self.entries.keys() <= entries, f"answered, but lost: {self.entries.keys() - entries}")
        self.check(not self.refused_entries & entries, f"refused, but done: {self.refused_entries & entries}")
        self.check(self.orders <= {id for (id,) in self.rows("SELECT id FROM orders")}, "answered orders are stored")
        without_gift = self.rows("SELECT id FROM users EXCEPT SELECT user_id FROM signup_gifts")
        self.check(not without_gift, f"{without_gift} are new users without a promised signup gift")
        for request in self.requests:
            self._check_request(request)
        self._check_final_states()

    def _check_final_states(self) -> None:
        ended_here = {id for (id,) in self.rows("SELECT id FROM tasks WHERE results LIKE '%output/%'")}
        stolen = ended_here & self.taken_over
        self.check(not stolen, f"{stolen} were taken over by another worker and ended by the former holder")
        stored = dict(self.rows("SELECT id, status FROM tasks"))
        for task_id, (status, *_) in self.final_states.items():
            self.check(stored.get(task_id) == status, f"task {task_id} was {status}, and is now {stored.get(task_id)}")

    def _check_request(self, request: TaskRequest) -> None:
        name, tasks = request.input_key, self.stored_tasks(request)
        if isinstance(request.answer, TaskCreated):
            self.check(tasks == [request.answer.task_id], f"{name} was created once, as answered: {tasks}")
        elif request.answer is not None:
            self.check(not tasks, f"{name} was refused, and has the tasks {tasks}")
        else:
            possible = min(1, request.in_flight + request.unknown)
            self.check(len(tasks) <= possible, f"{name} can have {possible} tasks at most, and has {tasks}")

    def check_payments(self, trades: list[Payment]) -> None:
        """Compare the gateways' trades with the orders, after there was time to learn of every trade."""
        orders = {id: (status, by) for id, status, by in self.rows("SELECT id, status, transaction_id FROM orders")}
        for payment in trades:
            status, transaction_id = orders[payment.order_id]
            if payment.state is PaymentState.PAID:
                credited = (status, transaction_id) == ("paid", payment.transaction_id)
                self.check(credited, f"{payment} was made, and its order is {status}")
            else:
                self.check(status != "paid", f"the gateway has {payment}, and its order is {status}")

    def unfinished(self) -> list[tuple[str, str]]:
        return [
            *self.rows("SELECT id, status FROM tasks WHERE status IN ('pending', 'processing')"),
            *self.rows("SELECT id, status FROM orders WHERE status = 'pending'"),
            *self.rows("SELECT user_id, 'a gift' FROM signup_gifts WHERE granted_at IS NULL"),
        ]

    def stored_tasks(self, request: TaskRequest) -> list[str]:
        return [id for (id,) in self.rows("SELECT id FROM tasks WHERE input_key = ?", request.input_key)]
