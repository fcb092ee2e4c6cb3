"""The quota actor: the only writer of balances.

A turn's commands are settled together in one transaction: read the accounts, win the records, decide (settlement.py),
write balances, ledger entries and records. They commit together or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from actors.errors import CommitFailed, StorageError
from actors.ports import Clock
from actors.quota.commands import Adjust, Charge, Command, Expire, Gift, Grant, Receipt, Refund
from actors.quota.settlement import Facts, Settlement, settle
from actors.retention import PurgeJob, purge_refusals
from actors.runtime import Actor, Message
from storage.auth import signup_gifts
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.membership import orders
from storage.quota import accounts, adjustments, idempotency, ledger
from storage.quota.ledger import EntryKind, LedgerEntry
from storage.task import tasks

__all__ = [
    "Adjust",
    "Balance",
    "Charge",
    "Expire",
    "GetBalance",
    "GetLedger",
    "Gift",
    "Grant",
    "LedgerEntry",
    "LedgerPage",
    "Quota",
    "Receipt",
    "Refund",
]

_BATCH = Histogram("darkroom_quota_commands", "Commands settled together", buckets=[2**n for n in range(10)])
_ENTRIES = Counter("darkroom_ledger_entries", "Ledger entries by kind", ["kind"])
_GENERATIONS = Counter("darkroom_ledger_generations", "Generations moved by ledger entries, unsigned", ["kind"])
for _kind in EntryKind:  # a rate needs its zero
    _ENTRIES.labels(_kind.value)
    _GENERATIONS.labels(_kind.value)

GIVE_SECONDS = 60
GIVE_BATCH = 500
EXPIRE_SECONDS = 60  # how often ended memberships are looked for; until then they count as ended all the same
EXPIRE_BATCH = 256


@dataclass(frozen=True, slots=True)
class Balance:
    """What a person can spend now. `expires_at` in epoch milliseconds, None without a membership."""

    remaining: int
    is_member: bool
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class GetBalance(Message[Balance]):
    user_id: str


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """Entries, newest first; `next` starts the following page, None at the end."""

    entries: Sequence[LedgerEntry]
    next: int | None


@dataclass(frozen=True, slots=True)
class GetLedger(Message[LedgerPage]):
    """`before` is the id of an entry, exclusive."""

    user_id: str
    limit: int
    before: int | None = None


@dataclass(frozen=True, slots=True)
class ExpireDue(Message[None]):
    """End the memberships whose time is over."""


@dataclass(frozen=True, slots=True)
class GiveDue(Message[None]):
    """Give what was promised to new people, and not given when they came: the server was busy, or died."""


class Quota(Actor):
    def __init__(self, db: Database, clock: Clock) -> None:
        super().__init__()
        self._db, self._clock = db, clock
        self.on_batch((Charge, Refund, Grant, Expire, Adjust, Gift), self._settle)
        self.on_batch((GetBalance,), self._balances)
        self.on(GetLedger, self._ledger)
        self.on(ExpireDue, self._expire_due)
        self.on(GiveDue, self._give_due)
        self.every(EXPIRE_SECONDS, ExpireDue())
        self.every(GIVE_SECONDS, GiveDue())
        PurgeJob(self, lambda: purge_refusals(db, clock, idempotency.purge_refusals))

    async def _settle(self, batch: Sequence[Command]) -> Sequence[object]:
        now = self._clock.now()
        try:
            settlement = await self._db.write(lambda connection: _settle(connection, batch, now))
        except (StorageError, CommitFailed):
            raise
        except Exception:
            if len(batch) == 1:
                raise
            # One command broke the transaction of all. By itself it fails alone.
            return await asyncio.gather(*(self._settle_alone(command) for command in batch))
        _count(settlement)
        return settlement.outcomes

    async def _settle_alone(self, command: Command) -> object:
        try:
            return (await self._settle([command]))[0]
        except Exception as fault:
            return fault

    async def _balances(self, batch: Sequence[GetBalance]) -> Sequence[Balance]:
        users = {query.user_id for query in batch}
        found = await self._db.fetch(lambda connection: accounts.load(connection, users))
        now = self._clock.now()
        return [_balance(found[query.user_id], now) for query in batch]

    async def _ledger(self, query: GetLedger) -> LedgerPage:
        entries = await self._db.read(lambda c: ledger.page(c, query.user_id, query.before, query.limit + 1))
        page = entries[: query.limit]
        return LedgerPage(page, page[-1].id if len(entries) > query.limit else None)

    async def _expire_due(self, _: ExpireDue) -> None:
        now = self._clock.now()
        due = await self._db.read(lambda connection: accounts.expired(connection, now, EXPIRE_BATCH))
        if due:
            await self._settle([Expire(user_id) for user_id in due])

    async def _give_due(self, _: GiveDue) -> None:
        due = await self._db.read(lambda connection: signup_gifts.due(connection, GIVE_BATCH))
        if due:
            await self._settle([Gift(user_id) for user_id in due])


def _balance(account: accounts.Account, now: int) -> Balance:
    """The account as it would be if an ended membership had been closed already."""
    if account.expires_at > now:
        return Balance(account.balance, True, account.expires_at)
    return Balance(0 if account.expires_at else account.balance, False, None)


def _settle(connection: Connection, batch: Sequence[Command], now: int) -> Settlement:
    settlement = settle(_facts(connection, batch, now), batch)
    tasks.add(connection, settlement.tasks)
    adjustments.add(connection, settlement.adjustments)
    accounts.save(connection, settlement.accounts.values())
    ledger.append(connection, settlement.entries)
    idempotency.add(connection, list(settlement.answers.values()))
    return settlement


def _facts(connection: Connection, batch: Sequence[Command], now: int) -> Facts:
    failed = [command.task for command in batch if isinstance(command, Refund)]
    paid = [command.paid for command in batch if isinstance(command, Grant)]
    keys = [(c.user_id, c.key.key) for c in batch if isinstance(c, Charge) and c.key]
    adjusting = [command.adjustment.id for command in batch if isinstance(command, Adjust)]
    charges = ledger.amounts(connection, EntryKind.CHARGE, {task.id for task in failed})
    return Facts(
        now=now,
        next_entry=ledger.next_id(connection, now),
        accounts=accounts.load(connection, {command.user_id for command in batch}),
        charged={task_id: -amount for task_id, amount in charges.items()},
        won=tasks.win_failed(connection, failed, now) | orders.win_paid(connection, paid, now),
        adjusted=adjustments.existing(connection, adjusting),
        answers=idempotency.load(connection, keys),
        gifts=signup_gifts.win_granted(connection, [c.user_id for c in batch if isinstance(c, Gift)], now),
    )


def _count(settlement: Settlement) -> None:
    _BATCH.observe(len(settlement.outcomes))
    amounts: dict[EntryKind, list[int]] = {}
    for entry in settlement.entries:
        amounts.setdefault(entry.kind, []).append(abs(entry.amount))
    for kind, moved in amounts.items():
        _ENTRIES.labels(kind.value).inc(len(moved))
        _GENERATIONS.labels(kind.value).inc(sum(moved))
