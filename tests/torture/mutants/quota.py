"""A mutant that reads the balance in one transaction and charges in another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from actors.ports import Clock
from actors.quota.actor import Quota
from actors.quota.batch_state import StoredState
from actors.quota.commands import Charge, Outcome
from actors.quota.settlement import settle
from server import system
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.quota import accounts, idempotency, ledger
from storage.task import tasks


class CheckThenAct(Quota):
    """Reads the balance in one transaction and writes what follows from it in another."""

    def __init__(self, db: Database, clock: Clock) -> None:
        super().__init__(db, clock)
        self._database, self._time = db, clock
        self.on_batch((Charge,), self._charge_each)

    async def _charge_each(self, batch: Sequence[Charge]) -> Sequence[object]:
        return await asyncio.gather(*map(self._charge, batch), return_exceptions=True)

    async def _charge(self, charge: Charge) -> Outcome:
        now = self._time.now()
        facts = await self._database.read(lambda connection: _load_facts(connection, charge, now))
        return await self._database.write(lambda connection: _charge_later(connection, charge, facts))


def _load_facts(connection: Connection, charge: Charge, now: int) -> StoredState:
    keys = [(charge.user_id, charge.key.key)] if charge.key else []
    balances, answers = accounts.load(connection, {charge.user_id}), idempotency.load(connection, keys)
    return StoredState(now, 0, balances, {}, set(), set(), answers, {})


def _charge_later(connection: Connection, charge: Charge, facts: StoredState) -> Outcome:
    """Charge by the outdated facts. Ledger ids are fresh, because the table would reject an id used twice."""
    settlement = settle(replace(facts, next_entry=ledger.next_id(connection, facts.now)), [charge])
    tasks.add(connection, settlement.tasks)
    accounts.save(connection, settlement.accounts.values())
    ledger.append(connection, settlement.entries)
    idempotency.add(connection, list(settlement.answers.values()))
    return settlement.outcomes[0]


@contextmanager
def checking_then_acting() -> Iterator[None]:
    with patch.object(system, "Quota", CheckThenAct):
        yield
