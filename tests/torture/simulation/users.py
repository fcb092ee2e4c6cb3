"""People with tasks and orders, on two devices each."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from actors.auth.messages import LogIn, LoginResult, SendCode
from actors.errors import (
    DomainError,
    IdempotencyKeyReused,
    NotMember,
    QuotaInsufficient,
)
from actors.idempotency import IdempotencyKey
from actors.membership.messages import GetMembershipStatus, GetOrder, ListOrders, PlacedOrder, Purchase
from actors.ports import PaymentState, PictureTemplate
from actors.quota.commands import Adjust
from actors.quota.messages import GetBalance
from actors.task.messages import CreateTask, GetTask, ListTasks, TaskCreated, TaskFilter
from storage.quota.adjustments import Adjustment
from storage.quota.ledger import EntryKind
from tests.torture.simulation.clients import NO_ANSWER, NOTHING_DONE, TRIES, UNKNOWN, Outside, adjusted
from tests.torture.simulation.notifications import Notifications
from tests.torture.simulation.oracle import Wish


class Person:
    def __init__(self, outside: Outside, number: int) -> None:
        self._outside, self._script, self._witness = outside, outside.script, outside.witness
        self._ask = outside.server.ask
        self._number, self.phone = number, f"138{number:08}"
        self.user_id = ""
        self._orders: list[str] = []
        self._wishes: list[Wish] = []
        self._keys = 0

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

        async def try_once() -> LoginResult | None:
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
            answer = await self._ask(CreateTask(wish.user_id, wish.type, wish.input_key, PictureTemplate.ALL, wish.key))
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
        got: TaskCreated | DomainError
        try:
            got = await self._ask(CreateTask(wish.user_id, wish.type, wish.input_key, PictureTemplate.ALL, other))
        except NO_ANSWER:
            return
        except DomainError as refusal:
            got = refusal
        self._witness.check(isinstance(got, IdempotencyKeyReused), f"{wish.key} with another body was answered {got!r}")

    def _answered(self) -> Wish | None:
        known = [wish for wish in self._wishes if wish.key and wish.answer]
        return self._script.random.choice(known) if known else None

    async def _look_at_tasks(self) -> None:
        mine = [wish.answer for wish in self._wishes if isinstance(wish.answer, TaskCreated)]
        page = await self._outside.ask(ListTasks(TaskFilter(self.user_id), 100, 0))
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
            status = await self._outside.ask(GetMembershipStatus(self.user_id))
            balance = status.balance if status else None
        if balance is not None:
            self._witness.balance_read(self.user_id, confirmed, balance)

    # --- orders ---

    async def _buy(self) -> None:
        channel = self._script.random.choice(list(self._outside.gateways))
        plan = self._script.random.choice(("monthly", "trial", None))
        purchased = await self._ordered(Purchase(self.user_id, channel, plan, False, self._order_key()))
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

    def _order_key(self) -> IdempotencyKey | None:
        self._keys += 1
        return IdempotencyKey(f"order {self._keys}", b"body") if self._script.chance(0.6) else None

    async def _ordered(self, wanted: Purchase) -> PlacedOrder | None:
        """With a key: twice at once, and again until somebody answers. Whoever answers names the same order."""

        async def try_once() -> PlacedOrder | None:
            return await self._outside.ask(wanted)

        if wanted.key is None:
            return await try_once()
        for _ in range(TRIES):
            answers = await asyncio.gather(try_once(), try_once())
            given = [answer for answer in answers if answer is not None]
            if given:
                made = self._witness.rows(
                    "SELECT order_id FROM order_keys WHERE user_id = ? AND key = ?", self.user_id, wanted.key.key
                )
                self._witness.check(made == [(given[0].order.id,)], f"{wanted.key.key} is {made}")
                self._witness.check(given[0].form == given[-1].form, f"{wanted.key.key} was answered in two ways")
                self._witness.check(given[0].order.id == given[-1].order.id, f"{wanted.key.key} made two orders")
                return given[0]
            await asyncio.sleep(self._script.pause(5))
        return None

    async def _look_at_order(self) -> None:
        if not self._orders:
            return
        known = self._script.random.choice(self._orders)
        order = await self._outside.ask(GetOrder(self.user_id, known))
        if order is not None and order.status == "paid":
            self._witness.confirm(self.user_id, EntryKind.GRANT, order.id)
        listed = await self._outside.ask(ListOrders(self.user_id, 100, 0))
        if listed is not None:
            self._witness.check(known in {order.id for order in listed.orders}, f"order {known} is listed")
