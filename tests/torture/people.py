"""Who uses the simulated server: people with tasks and orders, an operator, workers elsewhere, gateways that call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from actors.auth import LogIn, Login, SendCode
from actors.errors import (
    CommitFailed,
    DomainError,
    IdempotencyKeyReused,
    MissingReference,
    NotMember,
    OrderNotFound,
    Overloaded,
    PaymentMismatch,
    QuotaInsufficient,
    StorageError,
    TaskFinished,
)
from actors.kernel import Message
from actors.membership import GetOrder, GetStatus, ListOrders, Notify, Purchase
from actors.ports import Payment, PaymentState, Template
from actors.quota import Adjust, GetBalance, IdempotencyKey, Receipt, Refund
from actors.task import Created, CreateTask, Filter, GetTask, ListTasks, Report, TaskStatus
from storage.adjustments import Adjustment
from storage.ledger import Kind
from storage.tasks import FailedTask
from tests.torture.script import Script
from tests.torture.simulated_server import Deployment, Lost
from tests.torture.simulated_services import SimulatedGateway, SimulatedSms, notification
from tests.torture.witness import FINAL, REMEMBERED, Wish, Witness

R = TypeVar("R")

NOTHING_DONE = (Overloaded, StorageError)  # try again later, nothing was changed
UNKNOWN = (Lost, CommitFailed)  # it may have been done
NO_ANSWER = (*NOTHING_DONE, *UNKNOWN)
TRIES = 6


@dataclass(frozen=True, slots=True)
class Outside:
    """What everybody outside has in common."""

    script: Script
    witness: Witness
    server: Deployment
    gateways: Mapping[str, SimulatedGateway]
    sms: SimulatedSms

    async def ask(self, message: Message[R]) -> R | None:
        """For questions that change nothing: None when there was no answer."""
        try:
            return await self.server.ask(message)
        except (*NO_ANSWER, DomainError):
            return None


class Person:
    def __init__(self, outside: Outside, number: int) -> None:
        self._outside, self._script, self._witness = outside, outside.script, outside.witness
        self._ask = outside.server.ask
        self._number, self.phone = number, f"138{number:08}"
        self.user_id = ""
        self._orders: list[str] = []
        self._wishes: list[Wish] = []

    async def live(self) -> None:
        """Log in, then use two devices at the same time."""
        while not self.user_id:
            await self._log_in()
        if self._script.chance(0.8):
            welcome = Adjust(Adjustment(f"welcome {self._number}", self.user_id, "welcome", 0), 10)
            while not await adjusted(self._outside, welcome):
                pass
        await asyncio.gather(self._use(), self._use())

    async def _use(self) -> None:
        habits = {
            self._create: 9,
            self._repeat: 3,
            self._reuse: 1,
            self._buy: 3,
            self._read_balance: 4,
            self._look_at_tasks: 4,
            self._look_at_order: 2,
        }
        for _ in range(self._script.random.randint(3, 9)):
            await asyncio.sleep(self._script.pause(self._script.random.choice((0.1, 1, 10))))
            (habit,) = self._script.random.choices(list(habits), list(habits.values()))
            await habit()

    # --- logging in ---

    async def _log_in(self) -> None:
        """The same code is tried three times at once: one of them wins."""
        await asyncio.sleep(self._script.pause(1))
        if await self._outside.ask(SendCode(self.phone, "192.0.2.1")) is None:
            await asyncio.sleep(15)
            return
        attempt = LogIn(self.phone, self._outside.sms.codes[self.phone])

        async def try_once() -> Login | None:
            return await self._outside.ask(attempt)

        logins = [login for login in await asyncio.gather(try_once(), try_once(), try_once()) if login is not None]
        self._witness.check(len(logins) <= 1, f"{self.phone}: a code was good for {len(logins)} logins")
        if logins:
            self.user_id = logins[0].user.id
            known = self._witness.rows("SELECT id FROM users WHERE phone = ?", self.phone)
            self._witness.check(known == [(self.user_id,)], f"{self.phone} is on disk when its login is answered")
            self._script.step(f"{self.phone} is {self.user_id[-4:]}")

    # --- tasks ---

    async def _create(self) -> None:
        """With a key, at once as often as impatience wants, and again until somebody says what became of it."""
        wish = self._wish()
        if wish.key is None:
            await self._attempt(wish)  # a second one would be a second wish
            return
        await asyncio.gather(*(self._attempt(wish) for _ in range(self._script.random.choice((1, 1, 2, 4)))))
        for _ in range(TRIES):
            if wish.answer is not None:
                return
            await asyncio.sleep(self._script.pause(5))
            await self._attempt(wish)

    def _wish(self) -> Wish:
        script, number = self._script, len(self._witness.wishes)
        key = IdempotencyKey(f"key {number}", b"body") if script.chance(0.6) else None
        wish = Wish(self.user_id, "basic_clean" if script.chance(0.85) else "poses", f"wish {number}.jpg", key)
        self._witness.wishes.append(wish)
        self._wishes.append(wish)
        return wish

    async def _attempt(self, wish: Wish) -> None:
        wish.open += 1
        try:
            answer = await self._ask(CreateTask(wish.user_id, wish.type, wish.input_key, Template.ALL, wish.key))
        except UNKNOWN as fault:
            wish.unknown += 1
            self._script.step(f"{wish.input_key}: nobody knows ({fault!r})")
        except NOTHING_DONE as fault:
            self._witness.postponed(wish, fault)
        except (NotMember, QuotaInsufficient) as refusal:
            self._witness.refused(wish, refusal)
        else:
            self._witness.created(wish, answer)
        finally:
            wish.open -= 1

    async def _repeat(self) -> None:
        """An old key gives its old answer."""
        wish = self._answered()
        if wish is not None:
            await asyncio.gather(self._attempt(wish), self._attempt(wish))

    async def _reuse(self) -> None:
        """An old key with another body is refused."""
        wish = self._answered()
        if wish is None or wish.key is None:
            return
        other = replace(wish.key, digest=b"another body")
        got: Created | DomainError
        try:
            got = await self._ask(CreateTask(wish.user_id, wish.type, wish.input_key, Template.ALL, other))
        except NO_ANSWER:
            return
        except DomainError as refusal:
            got = refusal
        self._witness.check(isinstance(got, IdempotencyKeyReused), f"{wish.key} with another body was answered {got!r}")

    def _answered(self) -> Wish | None:
        now = self._witness.clock.now()
        known = [
            wish
            for wish in self._wishes
            if wish.key and (isinstance(wish.answer, Created) or (wish.answer and now < wish.answered_at + REMEMBERED))
        ]
        return self._script.random.choice(known) if known else None

    async def _look_at_tasks(self) -> None:
        mine = [wish.answer for wish in self._wishes if isinstance(wish.answer, Created)]
        page = await self._outside.ask(ListTasks(Filter(self.user_id), 100, 0))
        if page is not None:
            (kept,) = self._witness.rows("SELECT COUNT(*) FROM tasks WHERE user_id = ?", self.user_id)
            between = len(mine) <= page.total <= kept[0]
            self._witness.check(between, f"{len(mine)} tasks before, {page.total} listed, {kept[0]} after")
        for answer in mine[-3:]:
            was_final = answer.task_id in self._witness.finals
            task = await self._outside.ask(GetTask(self.user_id, answer.task_id))
            if task is not None:
                self._witness.saw(task, was_final)

    async def _read_balance(self) -> None:
        confirmed = self._witness.positions[self.user_id]
        if self._script.chance(0.5):
            balance = await self._outside.ask(GetBalance(self.user_id))
        else:
            status = await self._outside.ask(GetStatus(self.user_id))
            balance = status.balance if status else None
        if balance is not None:
            self._witness.balance_read(self.user_id, confirmed, balance)

    # --- orders ---

    async def _buy(self) -> None:
        channel = self._script.random.choice(list(self._outside.gateways))
        plan = self._script.random.choice(("monthly", "trial", None))
        purchased = await self._outside.ask(Purchase(self.user_id, channel, plan, False))
        if purchased is None:
            return
        order = purchased.order
        self._script.step(f"{self.user_id[-4:]} has order {order.id[-6:]} at {channel}")
        self._witness.orders.add(order.id)
        self._orders.append(order.id)
        if self._script.chance(0.85):
            await asyncio.sleep(self._script.pause(10))
            state = PaymentState.PAID if self._script.chance(0.9) else PaymentState.FAILED
            if self._outside.gateways[channel].settle(order.id, state):
                await Notifications(self._outside, channel).about(order.id)

    async def _look_at_order(self) -> None:
        if not self._orders:
            return
        known = self._script.random.choice(self._orders)
        order = await self._outside.ask(GetOrder(self.user_id, known))
        if order is not None and order.status == "paid":
            self._witness.confirm(self.user_id, Kind.GRANT, order.id)
        listed = await self._outside.ask(ListOrders(self.user_id, 100, 0))
        if listed is not None:
            self._witness.check(known in {order.id for order in listed.orders}, f"order {known} is listed")


class Notifications:
    """What one gateway tells of its trades: too often, too late, never, and now and then something wrong."""

    def __init__(self, outside: Outside, channel: str) -> None:
        self._outside, self._script, self._channel = outside, outside.script, channel

    async def about(self, order_id: str) -> None:
        script = self._script
        payment = self._outside.gateways[self._channel].books[order_id]
        script.step(f"{self._channel} has {payment.state} for order {order_id[-6:]}")
        times = 1
        if script.fault("a notification gets lost", 0.2):
            times = 0
        elif script.fault("a notification is duplicated", 0.3):
            times = script.random.randint(2, 5)
        wrong = [self._wrong(payment)] if script.chance(0.15) else []
        await asyncio.gather(*(self._deliver(payment) for _ in range(times)), *wrong)

    async def _deliver(self, payment: Payment) -> None:
        """Again until it is taken, but not for ever."""
        for _ in range(3):
            await asyncio.sleep(self._script.pause(8))
            try:
                await self._outside.server.ask(Notify(self._channel, notification(self._channel, payment)))
            except NO_ANSWER:
                continue
            except DomainError as fault:
                self._outside.witness.check(False, f"the true notification {payment} was refused: {fault!r}")
            else:
                self._taken(payment)
            return

    def _taken(self, payment: Payment) -> None:
        witness = self._outside.witness
        if payment.state is PaymentState.PAID:
            ((owner,),) = witness.rows("SELECT user_id FROM orders WHERE id = ?", payment.order_id)
            witness.confirm(owner, Kind.GRANT, payment.order_id)

    async def _wrong(self, payment: Payment) -> None:
        """Well signed, but not what the order is for; or of an order nobody knows. Nothing may be credited for it."""
        paid = replace(payment, state=PaymentState.PAID, transaction_id="wrong")
        wrong = self._script.random.choice((replace(paid, amount=paid.amount + 1), replace(paid, order_id="unknown")))
        await asyncio.sleep(self._script.pause(8))
        got: object = None
        try:
            await self._outside.server.ask(Notify(self._channel, notification(self._channel, wrong)))
        except NO_ANSWER:
            return
        except DomainError as refusal:
            got = refusal
        self._outside.witness.check(isinstance(got, PaymentMismatch | OrderNotFound), f"{wrong} was answered {got!r}")


class Operator:
    """Changes balances, and cancels tasks."""

    def __init__(self, outside: Outside, people: Sequence[Person]) -> None:
        self._outside, self._script, self._witness = outside, outside.script, outside.witness
        self._people = people

    async def live(self) -> None:
        for number in range(self._script.random.randint(2, 8)):
            await asyncio.sleep(self._script.pause(self._script.random.choice((1, 20))))
            habit = self._script.random.choice((self._adjust, self._adjust, self._cancel, self._mistake))
            await habit(f"adjustment {number}")

    async def _adjust(self, name: str) -> None:
        user_id = self._script.random.choice(self._people).user_id
        if not user_id:
            return
        amount = self._script.random.choice((-4, -1, 3, 8, 20))
        for _ in range(TRIES):
            answered = await adjusted(self._outside, Adjust(Adjustment(name, user_id, "because", 0), amount))
            if answered and self._script.chance(0.7):
                return

    async def _cancel(self, _: str) -> None:
        task = created_task(self._outside)
        if task is None:
            return
        user_id, task_id = task
        try:
            receipt = await self._outside.server.ask(Refund(FailedTask(task_id, user_id, "cancelled")))
        except NO_ANSWER:
            return
        self._script.step(f"the operator cancels {task_id[-6:]}: {receipt}")
        if isinstance(receipt, Receipt):
            self._witness.confirm(user_id, Kind.REFUND, task_id)
            self._witness.final(task_id, TaskStatus.FAILED, (), "cancelled")
        else:
            ((status,),) = self._witness.rows("SELECT status FROM tasks WHERE id = ?", task_id)
            self._witness.check(status in FINAL, f"{task_id} could not be cancelled, and is {status}")

    async def _mistake(self, name: str) -> None:
        """Somebody who does not exist; the command breaks the transaction of a whole turn."""
        self._witness.missing.add((Kind.ADJUST, f"mistaken {name}"))
        try:
            await self._outside.server.ask(Adjust(Adjustment(f"mistaken {name}", "nobody", "a mistake", 0), 5))
        except (MissingReference, *NO_ANSWER):
            return
        self._witness.check(False, "nobody was given something")


class OutsideWorker:
    """Reports about tasks that it, or somebody else, works on."""

    def __init__(self, outside: Outside) -> None:
        self._outside, self._script, self._witness = outside, outside.script, outside.witness

    async def live(self) -> None:
        for _ in range(self._script.random.randint(2, 12)):
            await asyncio.sleep(self._script.pause(self._script.random.choice((1, 20))))
            task = created_task(self._outside)
            if task is not None:
                status = self._script.random.choice((TaskStatus.PROCESSING, TaskStatus.SUCCESS, TaskStatus.FAILED))
                await self._report(*task, status)

    async def finish_poses(self) -> None:
        """Nobody here makes poses: end those that are waiting."""
        for user_id, task_id in self._witness.rows(
            "SELECT user_id, id FROM tasks WHERE type = 'poses' AND status IN ('pending', 'processing') ORDER BY id"
        ):
            await self._report(user_id, task_id, self._script.random.choice(FINAL))

    async def _report(self, user_id: str, task_id: str, status: TaskStatus) -> None:
        results, reason = (["a.png"], "") if status is TaskStatus.SUCCESS else ([], "worker_failed")
        try:
            await self._outside.server.ask(Report(task_id, status, results, reason))
        except NO_ANSWER:
            return
        except TaskFinished as finished:
            ((kept,),) = self._witness.rows("SELECT status FROM tasks WHERE id = ?", task_id)
            self._witness.check(kept == finished.facts["status"], f"{task_id} is {kept}, reported as {finished}")
            return
        self._script.step(f"a worker elsewhere reports {status} of {task_id[-6:]}")
        if status is TaskStatus.FAILED:
            self._witness.confirm(user_id, Kind.REFUND, task_id)
            self._witness.final(task_id, status, (), reason)
        elif status is TaskStatus.SUCCESS:
            self._witness.final(task_id, status, tuple(results), None)
        else:
            self._witness.taken_over.add(task_id)


def created_task(outside: Outside) -> tuple[str, str] | None:
    """Some task that was answered: its owner and its id."""
    known = [(wish.user_id, wish.answer.task_id) for wish in outside.witness.wishes if isinstance(wish.answer, Created)]
    return outside.script.random.choice(known[-8:]) if known else None


async def adjusted(outside: Outside, adjust: Adjust) -> bool:
    """Have an operator's change made; whether there was an answer."""
    witness, name = outside.witness, adjust.adjustment.id
    try:
        receipt = await outside.server.ask(adjust)
    except UNKNOWN:
        witness.unknown.add((Kind.ADJUST, name))
        return False
    except NOTHING_DONE:
        witness.not_done(Kind.ADJUST, name)
        await asyncio.sleep(outside.script.pause(5))
        return False
    except QuotaInsufficient:
        witness.not_done(Kind.ADJUST, name)
        return True
    again = (Kind.ADJUST, name) in witness.entries
    witness.check(not (again and receipt), f"{name} was done twice")
    left = witness.confirm(adjust.user_id, Kind.ADJUST, name)
    witness.check(receipt is None or receipt.balance == left, f"{name} left {left}, answered {receipt}")
    outside.script.step(f"{name} by {adjust.amount} for {adjust.user_id[-4:]}: {left} left")
    return True
