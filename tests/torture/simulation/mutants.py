"""Variants of the product that break a promise on purpose. The simulation has to find each of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

from actors.membership.actor import Membership
from actors.message import Message
from actors.quota.actor import Quota
from actors.quota.messages import GrantDueGifts
from actors.task.actor import Tasks
from storage.engine.connection import Connection
from storage.engine.errors import CommitFailed, MissingReference, StorageError
from storage.membership import orders
from storage.membership.orders import PaidOrder
from storage.quota import idempotency
from tests.torture.mutants.tasks import ignoring_lost_leases, setting_failure, setting_success
from tests.torture.simulation.store import SimulatedStore

FSYNC_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Variant:
    """The classes that a server is made of, and a patch (`patched`) that is active during the simulation."""

    promise: str
    store: type[SimulatedStore] = SimulatedStore
    quota: type[Quota] = Quota
    membership: type[Membership] = Membership
    tasks: type[Tasks] = Tasks
    patched: Callable[[], AbstractContextManager[object]] = nullcontext


PRODUCT = Variant("the unchanged product")


class _AnswersEarly(SimulatedStore):
    """Answers before the fsync: a crash loses what was answered in the last two seconds."""

    _before: tuple[float, Connection] | None = None  # the time and a copy of the database

    def run_group(self, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        before = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.backup(before)
        self._before = (asyncio.get_running_loop().time(), before)
        return super().run_group(functions)

    def abandon(self) -> None:
        super().abandon()
        if self._before and asyncio.get_running_loop().time() < self._before[0] + FSYNC_SECONDS:
            self._before[1].backup(self.connection)


class _NoSavepoints(SimulatedStore):
    """Does not undo a function that raises, but answers its exception as usual."""

    def run_group(self, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        return super().run_group([partial(_without_savepoint, fn) for fn in functions])


def _without_savepoint(fn: Callable[[Connection], Any], connection: Connection) -> Any:
    try:
        return fn(connection)
    except sqlite3.IntegrityError as error:
        return MissingReference(str(error))
    except sqlite3.OperationalError as error:
        if not connection.in_transaction:
            raise
        return StorageError(str(error))


class _ReportsUnknownAsRefused(SimulatedStore):
    """Says that nothing was stored when a commit has failed."""

    def run_group(self, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        try:
            return super().run_group(functions)
        except CommitFailed as error:
            raise StorageError(str(error)) from error


class _NoTimers(Tasks):
    """Never sweeps: the leases of a dead process are never given up."""

    def every(self, seconds: float, message: Message[Any]) -> None:
        pass


class _NeverQueries(Membership):
    """Never queries a gateway, so that it relies on every notification to arrive."""

    def every(self, seconds: float, message: Message[Any]) -> None:
        pass


class _NeverGivesByItself(Quota):
    """Gives a promised gift when it is asked to, and never by a timer."""

    def every(self, seconds: float, message: Message[Any]) -> None:
        if not isinstance(message, GrantDueGifts):
            super().every(seconds, message)


def _set_paid(connection: Connection, paid: Sequence[PaidOrder], now: int) -> set[PaidOrder]:
    for order in paid:
        connection.execute(
            "UPDATE orders SET status = 'paid', transaction_id = ?, finished_at = ? WHERE id = ?",
            (order.transaction_id, now, order.order.id),
        )
    return set(paid)


def _discard(connection: Connection, answers: Sequence[idempotency.StoredAnswer]) -> None:
    """Store no answer under its key."""


MUTANTS = (
    Variant("an answer leaves after the commit", store=_AnswersEarly),
    Variant("a function that raises is undone", store=_NoSavepoints),
    Variant("a failed commit has an unknown outcome", store=_ReportsUnknownAsRefused),
    Variant("a success is won", patched=setting_success),
    Variant("a lost lease cannot end a task", patched=ignoring_lost_leases),
    Variant("a failure is won", patched=setting_failure),
    Variant("a payment is won", patched=lambda: patch.object(orders, "win_paid", _set_paid)),
    Variant("an answer is stored under its key", patched=lambda: patch.object(idempotency, "add", _discard)),
    Variant("leases that run out are given up", tasks=_NoTimers),
    Variant("a promised gift is given", quota=_NeverGivesByItself),
    Variant("gateways are queried about pending orders", membership=_NeverQueries),
)
