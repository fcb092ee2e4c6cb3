"""What all clients of the simulated server share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from actors.errors import (
    CommitFailed,
    DomainError,
    Overloaded,
    QuotaInsufficient,
    StorageError,
)
from actors.message import Message
from actors.quota.commands import Adjust
from actors.task.messages import TaskCreated
from storage.quota.ledger import EntryKind
from tests.torture.simulation.oracle import Oracle
from tests.torture.simulation.schedule import Schedule
from tests.torture.simulation.server import ConnectionLost, Deployment
from tests.torture.simulation.services import SimulatedGateway, SimulatedSms

R = TypeVar("R")

NOT_DONE = (Overloaded, StorageError)  # nothing was changed; the request can be sent again
UNKNOWN = (ConnectionLost, CommitFailed)  # the request may have been carried out
NO_ANSWER = (*NOT_DONE, *UNKNOWN)
ATTEMPTS = 6


@dataclass(frozen=True, slots=True)
class ClientContext:
    """The parts of a run that every client uses."""

    schedule: Schedule
    oracle: Oracle
    server: Deployment
    gateways: Mapping[str, SimulatedGateway]
    sms: SimulatedSms

    async def ask(self, message: Message[R]) -> R | None:
        """Ask without checking a refusal. Return None if there was no answer or a refusal."""
        try:
            return await self.server.ask(message)
        except (*NO_ANSWER, DomainError):
            return None


def choose_created_task(context: ClientContext) -> tuple[str, str] | None:
    """Return the owner and the id of one of the last tasks whose creation was answered."""
    requests = context.oracle.requests
    created = [(r.user_id, r.answer.task_id) for r in requests if isinstance(r.answer, TaskCreated)]
    return context.schedule.random.choice(created[-8:]) if created else None


async def adjust_quota(context: ClientContext, adjust: Adjust) -> bool:
    """Send an operator's adjustment. Return whether there was an answer."""
    oracle, name = context.oracle, adjust.adjustment.id
    try:
        receipt = await context.server.ask(adjust)
    except UNKNOWN:
        oracle.unknown_entries.add((EntryKind.ADJUST, name))
        return False
    except NOT_DONE:
        oracle.entry_refused(EntryKind.ADJUST, name)
        await asyncio.sleep(context.schedule.pause(5))
        return False
    except QuotaInsufficient:
        oracle.entry_refused(EntryKind.ADJUST, name)
        return True
    repeated = (EntryKind.ADJUST, name) in oracle.entries
    oracle.check(not (repeated and receipt), f"{name} was done twice")
    balance = oracle.confirm(adjust.user_id, EntryKind.ADJUST, name)
    oracle.check(receipt is None or receipt.balance == balance, f"{name} left {balance}, answered {receipt}")
    context.schedule.step(f"{name} by {adjust.amount} for {adjust.user_id[-4:]}: balance {balance}")
    return True
