"""Simulated users with tasks and orders, on two devices each."""

from __future__ import annotations

import asyncio

from actors.auth.messages import LogIn, LoginResult, SendCode
from actors.errors import (
    DomainError,
    IdempotencyKeyReused,
    NotMember,
    QuotaInsufficient,
)
from actors.idempotency import IdempotencyKey
from actors.membership.messages import GetMembershipStatus, GetOrder, ListOrders, PlacedOrder, Purchase
from actors.ports import PaymentState
from actors.quota.commands import Adjust
from actors.quota.messages import GetBalance
from actors.task.messages import CreateTask, GetTask, ListTasks, TaskCreated, TaskFilter
from storage.quota.adjustments import Adjustment
from storage.quota.ledger import EntryKind
from tests.torture.simulation.clients import ATTEMPTS, NO_ANSWER, NOT_DONE, UNKNOWN, ClientContext, adjust_quota
from tests.torture.simulation.notifications import Notifications
from tests.torture.simulation.oracle import TaskRequest


class SimulatedUser:
    def __init__(self, context: ClientContext, number: int) -> None:
        self._context, self._schedule, self._oracle = context, context.schedule, context.oracle
        self._ask = context.server.ask
        self._number, self.phone = number, f"138{number:08}"
        self.user_id = ""
        self._orders: list[str] = []
        self._requests: list[TaskRequest] = []
        self._order_keys = 0

    async def run(self) -> None:
        """Log in, then use two devices at the same time."""
        while not self.user_id:
            await self._log_in()
        if self._schedule.chance(0.8):
            welcome = Adjust(Adjustment(f"welcome {self._number}", self.user_id, "welcome", 0), 10)
            while not await adjust_quota(self._context, welcome):
                pass
        await asyncio.gather(self._use_device(), self._use_device())

    async def _use_device(self) -> None:
        weights = {
            self._create: 9,
            self._repeat: 3,
            self._reuse_key: 1,
            self._buy: 3,
            self._read_balance: 4,
            self._read_tasks: 4,
            self._read_orders: 2,
        }
        for _ in range(self._schedule.random.randint(3, 9)):
            await asyncio.sleep(self._schedule.pause(self._schedule.random.choice((0.1, 1, 10))))
            (action,) = self._schedule.random.choices(list(weights), list(weights.values()))
            await action()

    # --- login ---

    async def _log_in(self) -> None:
        """Send the same code three times at once: at most one login succeeds."""
        await asyncio.sleep(self._schedule.pause(1))
        if await self._context.ask(SendCode(self.phone, "192.0.2.1")) is None:
            await asyncio.sleep(15)
            return
        attempt = LogIn(self.phone, self._context.sms.codes[self.phone])

        async def try_once() -> LoginResult | None:
            return await self._context.ask(attempt)

        logins = [login for login in await asyncio.gather(try_once(), try_once(), try_once()) if login is not None]
        self._oracle.check(len(logins) <= 1, f"{self.phone}: one code was accepted for {len(logins)} logins")
        if logins:
            self.user_id = logins[0].user.id
            stored = self._oracle.rows("SELECT id FROM users WHERE phone = ?", self.phone)
            self._oracle.check(stored == [(self.user_id,)], f"{self.phone} is on disk when its login is answered")
            self._schedule.step(f"{self.phone} is {self.user_id[-4:]}")

    # --- tasks ---

    async def _create(self) -> None:
        """Create a task; with a key, up to four times at once, and again until an answer says what happened."""
        request = self._new_request()
        if request.key is None:
            await self._attempt(request)  # a second attempt would be a second request
            return
        await asyncio.gather(*(self._attempt(request) for _ in range(self._schedule.random.choice((1, 1, 2, 4)))))
        for _ in range(ATTEMPTS):
            if request.answer is not None:
                return
            await asyncio.sleep(self._schedule.pause(5))
            await self._attempt(request)

    def _new_request(self) -> TaskRequest:
        schedule, number = self._schedule, len(self._oracle.requests)
        key = f"key {number}" if schedule.chance(0.6) else None
        type = "basic_clean" if schedule.chance(0.85) else "poses"
        request = TaskRequest(self.user_id, type, f"input/{self.user_id}/{number}.jpg", key)
        self._oracle.requests.append(request)
        self._requests.append(request)
        return request

    async def _attempt(self, request: TaskRequest) -> None:
        request.in_flight += 1
        try:
            answer = await self._ask(_create_message(request))
        except UNKNOWN as error:
            request.unknown += 1
            self._schedule.step(f"{request.input_key}: unknown outcome ({error!r})")
        except NOT_DONE as error:
            self._oracle.task_not_created(request, error)
        except (NotMember, QuotaInsufficient) as refusal:
            self._oracle.task_refused(request, refusal)
        else:
            self._oracle.task_created(request, answer)
        finally:
            request.in_flight -= 1

    async def _repeat(self) -> None:
        """Send an answered request with its key again: the answer must be the same."""
        request = self._answered_request()
        if request is not None:
            await asyncio.gather(self._attempt(request), self._attempt(request))

    async def _reuse_key(self) -> None:
        """Send a used key with another body: it must be refused."""
        request = self._answered_request()
        if request is None or request.key is None:
            return
        answer: TaskCreated | DomainError
        try:
            answer = await self._ask(_create_message(request, template="matting"))
        except NO_ANSWER:
            return
        except DomainError as refusal:
            answer = refusal
        refused = isinstance(answer, IdempotencyKeyReused)
        self._oracle.check(refused, f"{request.key} with another body was answered {answer!r}")

    def _answered_request(self) -> TaskRequest | None:
        answered = [request for request in self._requests if request.key and request.answer]
        return self._schedule.random.choice(answered) if answered else None

    async def _read_tasks(self) -> None:
        created = [request.answer for request in self._requests if isinstance(request.answer, TaskCreated)]
        page = await self._context.ask(ListTasks(TaskFilter(self.user_id), 100, 0))
        if page is not None:
            (stored,) = self._oracle.rows("SELECT COUNT(*) FROM tasks WHERE user_id = ?", self.user_id)
            between = len(created) <= page.total <= stored[0]
            self._oracle.check(between, f"{len(created)} tasks before, {page.total} listed, {stored[0]} after")
        for answer in created[-3:]:
            was_final = answer.task_id in self._oracle.final_states
            task = await self._context.ask(GetTask(self.user_id, answer.task_id))
            if task is not None:
                self._oracle.task_shown(task, was_final)

    async def _read_balance(self) -> None:
        confirmed = self._oracle.positions[self.user_id]
        if self._schedule.chance(0.5):
            balance = await self._context.ask(GetBalance(self.user_id))
        else:
            status = await self._context.ask(GetMembershipStatus(self.user_id))
            balance = status.balance if status else None
        if balance is not None:
            self._oracle.balance_shown(self.user_id, confirmed, balance)

    # --- orders ---

    async def _buy(self) -> None:
        channel = self._schedule.random.choice(list(self._context.gateways))
        plan = self._schedule.random.choice(("monthly", "trial", None))
        purchased = await self._purchase(Purchase(self.user_id, channel, plan, False, self._new_order_key()))
        if purchased is None:
            return
        order = purchased.order
        self._schedule.step(f"{self.user_id[-4:]} has order {order.id[-6:]} at {channel}")
        self._oracle.orders.add(order.id)
        self._orders.append(order.id)
        if self._schedule.chance(0.85):
            await asyncio.sleep(self._schedule.pause(10))
            state = PaymentState.PAID if self._schedule.chance(0.9) else PaymentState.FAILED
            if self._context.gateways[channel].pay(order.id, state):
                await Notifications(self._context, channel).send(order.id)

    def _new_order_key(self) -> IdempotencyKey | None:
        self._order_keys += 1
        return IdempotencyKey(f"order {self._order_keys}", b"body") if self._schedule.chance(0.6) else None

    async def _purchase(self, purchase: Purchase) -> PlacedOrder | None:
        """Place an order; with a key, twice at once and again until there is an answer. All answers must agree."""

        async def try_once() -> PlacedOrder | None:
            return await self._context.ask(purchase)

        if purchase.key is None:
            return await try_once()
        for _ in range(ATTEMPTS):
            answers = [answer for answer in await asyncio.gather(try_once(), try_once()) if answer is not None]
            if answers:
                self._check_purchase(purchase.key.key, answers[0], answers[-1])
                return answers[0]
            await asyncio.sleep(self._schedule.pause(5))
        return None

    def _check_purchase(self, key: str, first: PlacedOrder, last: PlacedOrder) -> None:
        query = "SELECT order_id FROM order_keys WHERE user_id = ? AND key = ?"
        stored = self._oracle.rows(query, self.user_id, key)
        self._oracle.check(stored == [(first.order.id,)], f"{key} belongs to {stored}")
        self._oracle.check(first.form == last.form, f"{key} was answered with two payment forms")
        self._oracle.check(first.order.id == last.order.id, f"{key} made two orders")

    async def _read_orders(self) -> None:
        if not self._orders:
            return
        order_id = self._schedule.random.choice(self._orders)
        order = await self._context.ask(GetOrder(self.user_id, order_id))
        if order is not None and order.status == "paid":
            self._oracle.confirm(self.user_id, EntryKind.GRANT, order.id)
        page = await self._context.ask(ListOrders(self.user_id, 100, 0))
        if page is not None:
            self._oracle.check(order_id in {order.id for order in page.orders}, f"order {order_id} is listed")


def _create_message(request: TaskRequest, template: str = "all") -> CreateTask:
    return CreateTask(request.user_id, request.type, request.input_key, {"template": template}, request.key)
