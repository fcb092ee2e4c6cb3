"""The quota actor: the only writer of balances.

The commands of a turn are executed together in one transaction: read the accounts, win the final states of records,
decide (settlement.py), write balances, ledger entries and records. All of it commits, or nothing does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

from actors.errors import CommitFailed, StorageError
from actors.ports import Clock
from actors.quota.batch_state import Settlement, StoredState
from actors.quota.commands import Adjust, Charge, ChargeOperator, Command, Expire, Gift, Grant, Refund
from actors.quota.messages import (
    Balance,
    ExpireDueMemberships,
    GetBalance,
    GetEntriesOf,
    GetLedger,
    GrantDueGifts,
    LedgerEntry,
    LedgerPage,
)
from actors.quota.settlement import settle
from actors.retention import purge_periodically, purge_refusals
from actors.runtime import Actor
from actors.schedule import GetNextDue
from storage.auth import signup_gifts
from storage.engine.connection import Connection
from storage.engine.database import Database
from storage.membership import orders
from storage.quota import accounts, adjustments, idempotency, ledger
from storage.quota.ledger import EntryKind
from storage.task import tasks, transitions

_BATCH = Histogram("darkroom_quota_commands", "Commands executed together", buckets=[2**n for n in range(10)])
_ENTRIES = Counter("darkroom_ledger_entries", "Ledger entries by kind", ["kind"])
_GENERATIONS = Counter("darkroom_ledger_generations", "Generations moved by ledger entries, unsigned", ["kind"])
for _kind in EntryKind:  # so that a rate of each kind starts at zero
    _ENTRIES.labels(_kind.value)
    _GENERATIONS.labels(_kind.value)

GIFT_SECONDS = 60
GIFT_BATCH = 500
EXPIRE_SECONDS = 60  # a membership counts as ended from the moment its time is over, also before it is closed here
EXPIRE_BATCH = 256


class Quota(Actor):
    """The quota actor."""

    def __init__(self, db: Database, clock: Clock) -> None:
        super().__init__()
        self._db, self._clock = db, clock
        self.on_batch((Charge, ChargeOperator, Refund, Grant, Expire, Adjust, Gift), self._execute_batch)
        self.on_batch((GetBalance,), self._get_balances)
        self.on(GetLedger, self._get_ledger)
        self.on(GetEntriesOf, self._get_entries_of)
        self.on(ExpireDueMemberships, self._expire_due)
        self.on(GrantDueGifts, self._grant_due_gifts)
        self.on(GetNextDue, self._get_next_due)
        self.every(EXPIRE_SECONDS, ExpireDueMemberships())
        self.every(GIFT_SECONDS, GrantDueGifts())
        purge_periodically(self, lambda: purge_refusals(db, clock, idempotency.purge_refusals))

    async def _execute_batch(self, batch: Sequence[Command]) -> Sequence[object]:
        now = self._clock.now()
        try:
            settlement = await self._db.write(lambda connection: commit_batch(connection, batch, now))
        except (StorageError, CommitFailed):
            raise
        except Exception:
            if len(batch) == 1:
                raise
            # One command made the transaction of all of them fail. Executed one by one, only that command fails.
            return await asyncio.gather(*map(self._execute_alone, batch))
        _count(settlement)
        return settlement.outcomes

    async def _execute_alone(self, command: Command) -> object:
        try:
            return (await self._execute_batch([command]))[0]
        except Exception as fault:
            return fault

    async def _get_balances(self, batch: Sequence[GetBalance]) -> Sequence[Balance]:
        users = {query.user_id for query in batch}
        stored = await self._db.fetch(lambda connection: accounts.load(connection, users))
        now = self._clock.now()
        return [_balance(stored[query.user_id], now) for query in batch]

    async def _get_ledger(self, query: GetLedger) -> LedgerPage:
        entries = await self._db.read(lambda c: ledger.page(c, query.user_id, query.before, query.limit + 1))
        page = entries[: query.limit]
        return LedgerPage(page, page[-1].id if len(entries) > query.limit else None)

    async def _get_entries_of(self, query: GetEntriesOf) -> Sequence[tuple[LedgerEntry, str | None]]:
        return await self._db.fetch(lambda connection: ledger.entries_of(connection, query.reference))

    async def _expire_due(self, message: ExpireDueMemberships) -> object:
        now = self._clock.now()
        due = await self._db.read(lambda connection: accounts.expired(connection, now, EXPIRE_BATCH))
        done = await self._execute_all([Expire(user_id) for user_id in due])
        return self.continue_with(message) if done and len(due) == EXPIRE_BATCH else None

    async def _grant_due_gifts(self, message: GrantDueGifts) -> object:
        due = await self._db.read(lambda connection: signup_gifts.due(connection, GIFT_BATCH))
        done = await self._execute_all([Gift(user_id) for user_id in due])
        return self.continue_with(message) if done and len(due) == GIFT_BATCH else None

    async def _execute_all(self, batch: Sequence[Command]) -> bool:
        """Execute commands, and return whether none of them failed: those that failed would be found as due again."""
        outcomes = await self._execute_batch(batch) if batch else []
        return not any(isinstance(outcome, Exception) for outcome in outcomes)

    async def _get_next_due(self, query: GetNextDue) -> int | None:
        def read(connection: Connection) -> list[int | None]:
            return [accounts.next_end(connection, query.after), signup_gifts.next_due(connection, query.after)]

        return min((at for at in await self._db.read(read) if at is not None), default=None)


def commit_batch(connection: Connection, batch: Sequence[Command], now: int) -> Settlement:
    """Decide the commands and write what follows: the body of their transaction."""
    settlement = settle(_load_state(connection, batch, now), batch)
    tasks.add(connection, settlement.tasks)
    adjustments.add(connection, settlement.adjustments)
    accounts.save(connection, settlement.accounts.values())
    ledger.append(connection, settlement.entries)
    idempotency.add(connection, list(settlement.answers.values()))
    return settlement


def _load_state(connection: Connection, batch: Sequence[Command], now: int) -> StoredState:
    failed = [command.task for command in batch if isinstance(command, Refund)]
    paid = [command.paid for command in batch if isinstance(command, Grant)]
    keys = [(c.user_id, c.key.key) for c in batch if isinstance(c, Charge) and c.key]
    adjusting = [command.adjustment.id for command in batch if isinstance(command, Adjust)]
    charges = ledger.amounts(connection, EntryKind.CHARGE, {task.id for task in failed})
    return StoredState(
        now=now,
        next_entry=ledger.next_id(connection, now),
        accounts=accounts.load(connection, {command.user_id for command in batch}),
        charged={task_id: -amount for task_id, amount in charges.items()},
        won=transitions.win_failed(connection, failed, now) | orders.win_paid(connection, paid, now),
        adjusted=adjustments.existing(connection, adjusting),
        answers=idempotency.load(connection, keys),
        gifts=signup_gifts.win_granted(connection, [c.user_id for c in batch if isinstance(c, Gift)], now),
    )


def _balance(account: accounts.Account, now: int) -> Balance:
    """Return the balance as it will be once a membership whose time is over has been closed."""
    if account.expires_at > now:
        return Balance(account.balance, True, account.expires_at)
    return Balance(0 if account.expires_at else account.balance, False, None)


def _count(settlement: Settlement) -> None:
    _BATCH.observe(len(settlement.outcomes))
    amounts: dict[EntryKind, list[int]] = {}
    for entry in settlement.entries:
        amounts.setdefault(entry.kind, []).append(abs(entry.amount))
    for kind, moved in amounts.items():
        _ENTRIES.labels(kind.value).inc(len(moved))
        _GENERATIONS.labels(kind.value).inc(sum(moved))
