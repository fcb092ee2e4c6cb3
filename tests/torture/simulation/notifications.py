"""What gateways tell of their trades."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from actors.errors import (
    DomainError,
    OrderNotFound,
    PaymentMismatch,
)
from actors.membership.messages import HandleNotification
from actors.ports import Payment, PaymentState
from storage.quota.ledger import EntryKind
from tests.torture.simulation.clients import NO_ANSWER, Outside
from tests.torture.simulation.services import notification


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
                await self._outside.server.ask(HandleNotification(self._channel, notification(self._channel, payment)))
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
            witness.confirm(owner, EntryKind.GRANT, payment.order_id)

    async def _wrong(self, payment: Payment) -> None:
        """Well signed, but not what the order is for; or of an order nobody knows. Nothing may be credited for it."""
        paid = replace(payment, state=PaymentState.PAID, transaction_id="wrong")
        wrong = self._script.random.choice((replace(paid, amount=paid.amount + 1), replace(paid, order_id="unknown")))
        await asyncio.sleep(self._script.pause(8))
        got: object = None
        try:
            await self._outside.server.ask(HandleNotification(self._channel, notification(self._channel, wrong)))
        except NO_ANSWER:
            return
        except DomainError as refusal:
            got = refusal
        self._outside.witness.check(isinstance(got, PaymentMismatch | OrderNotFound), f"{wrong} was answered {got!r}")
