"""Reconciliation: ask the gateways what became of pending orders, because notifications get lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from actors.deadline import deadline
from actors.errors import DomainError
from actors.membership.messages import ApplyPayment, Order, Reconcile
from actors.membership.payments import GATEWAY_SECONDS, Gateways
from actors.ports import Clock
from actors.runtime import Actor
from actors.schedule import GetNextDue
from storage.engine.database import Database
from storage.membership import orders

log = structlog.stdlib.get_logger("darkroom.membership")

RECONCILE_SECONDS = 60  # how often the gateways are asked about pending orders
RECONCILE_BATCH = 8  # orders that are asked about at the same time


class Reconciliation:
    """Handles `Reconcile` for the membership actor in a job beside its mailbox; only one such job runs at a time."""

    def __init__(self, actor: Actor, db: Database, clock: Clock, gateways: Gateways) -> None:
        self._actor, self._db, self._clock, self._gateways = actor, db, clock, gateways
        self._running: asyncio.Future[None] | None = None
        actor.on(Reconcile, self._start)
        actor.on(GetNextDue, self._get_next_due)
        actor.every(RECONCILE_SECONDS, Reconcile())

    async def check_order(self, order: Order) -> None:
        """Ask the gateway about a pending order and apply what it says; an order that ran out is closed there first."""
        try:
            gateway = self._gateways.get(order.channel)
            async with deadline("payment", GATEWAY_SECONDS):
                has_run_out = order.expires_at <= self._clock.now()
                payment = await (gateway.close(order.id) if has_run_out else gateway.query(order.id))
            await self._actor.ask_from_job(ApplyPayment(order.channel, payment))
        except DomainError as fault:
            log.warning("an order could not be checked", order=order.id, channel=order.channel, fault=repr(fault))
        except Exception:  # one order that cannot be checked must not stop the others
            log.exception("an order could not be checked", order=order.id, channel=order.channel)

    async def _get_next_due(self, query: GetNextDue) -> int | None:
        return await self._db.fetch(lambda connection: orders.next_end(connection, query.after))

    async def _start(self, _: Reconcile) -> None:
        if self._running is None or self._running.done():
            self._running = self._actor.start_job(self._check_all())

    async def _check_all(self) -> None:
        after = ""
        while batch := await self._pending(after):
            await asyncio.gather(*map(self.check_order, batch))
            after = batch[-1].id

    async def _pending(self, after: str) -> Sequence[Order]:
        return await self._db.read(lambda connection: orders.pending(connection, after, RECONCILE_BATCH))
