"""What everybody who uses the simulated server has in common."""

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
from tests.torture.simulation.oracle import Witness
from tests.torture.simulation.schedule import Script
from tests.torture.simulation.server import Deployment, Lost
from tests.torture.simulation.services import SimulatedGateway, SimulatedSms

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


def created_task(outside: Outside) -> tuple[str, str] | None:
    """Some task that was answered: its owner and its id."""
    known = [
        (wish.user_id, wish.answer.task_id) for wish in outside.witness.wishes if isinstance(wish.answer, TaskCreated)
    ]
    return outside.script.random.choice(known[-8:]) if known else None


async def adjusted(outside: Outside, adjust: Adjust) -> bool:
    """Have an operator's change made; whether there was an answer."""
    witness, name = outside.witness, adjust.adjustment.id
    try:
        receipt = await outside.server.ask(adjust)
    except UNKNOWN:
        witness.unknown.add((EntryKind.ADJUST, name))
        return False
    except NOTHING_DONE:
        witness.not_done(EntryKind.ADJUST, name)
        await asyncio.sleep(outside.script.pause(5))
        return False
    except QuotaInsufficient:
        witness.not_done(EntryKind.ADJUST, name)
        return True
    again = (EntryKind.ADJUST, name) in witness.entries
    witness.check(not (again and receipt), f"{name} was done twice")
    left = witness.confirm(adjust.user_id, EntryKind.ADJUST, name)
    witness.check(receipt is None or receipt.balance == left, f"{name} left {left}, answered {receipt}")
    outside.script.step(f"{name} by {adjust.amount} for {adjust.user_id[-4:]}: {left} left")
    return True
