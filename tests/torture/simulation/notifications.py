"""The callbacks that a payment gateway sends about its trades."""

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
from tests.torture.simulation.clients import NO_ANSWER, ClientContext
from tests.torture.simulation.services import notification


class Notifications:
    """One gateway's notifications: they come several times, late or never, and some of them are wrong."""

    def __init__(self, context: ClientContext, channel: str) -> None:
        self._context, self._schedule, self._channel = context, context.schedule, channel

    async def send(self, order_id: str) -> None:
        schedule = self._schedule
        payment = self._context.gateways[self._channel].trades[order_id]
        schedule.step(f"{self._channel} has {payment.state} for order {order_id[-6:]}")
        times = 1
        if schedule.fault("a notification gets lost", 0.2):
            times = 0
        elif schedule.fault("a notification is duplicated", 0.3):
            times = schedule.random.randint(2, 5)
        wrong = [self._deliver_wrong(payment)] if schedule.chance(0.15) else []
        await asyncio.gather(*(self._deliver(payment) for _ in range(times)), *wrong)

    async def _deliver(self, payment: Payment) -> None:
        """Deliver up to three times, until there is an answer."""
        for _ in range(3):
            await asyncio.sleep(self._schedule.pause(8))
            try:
                await self._context.server.ask(HandleNotification(self._channel, notification(self._channel, payment)))
            except NO_ANSWER:
                continue
            except DomainError as error:
                self._context.oracle.check(False, f"the true notification {payment} was refused: {error!r}")
            else:
                self._accepted(payment)
            return

    def _accepted(self, payment: Payment) -> None:
        oracle = self._context.oracle
        if payment.state is PaymentState.PAID:
            ((owner,),) = oracle.rows("SELECT user_id FROM orders WHERE id = ?", payment.order_id)
            oracle.confirm(owner, EntryKind.GRANT, payment.order_id)

    async def _deliver_wrong(self, payment: Payment) -> None:
        """Deliver a well-signed notification with a wrong amount or an unknown order. It must not be credited."""
        paid = replace(payment, state=PaymentState.PAID, transaction_id="wrong")
        wrong = self._schedule.random.choice((replace(paid, amount=paid.amount + 1), replace(paid, order_id="unknown")))
        await asyncio.sleep(self._schedule.pause(8))
        refusal: object = None
        try:
            await self._context.server.ask(HandleNotification(self._channel, notification(self._channel, wrong)))
        except NO_ANSWER:
            return
        except DomainError as error:
            refusal = error
        refused = isinstance(refusal, PaymentMismatch | OrderNotFound)
        self._context.oracle.check(refused, f"{wrong} was answered {refusal!r}")
