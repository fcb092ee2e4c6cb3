"""Variants of the product that break a promise on purpose: what the simulation has to notice."""

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
from storage.task import tasks
from storage.task.tasks import FailedTask
from tests.torture.simulation.store import SimulatedStore

FSYNC_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Variant:
    """What a server is made of; `patched` holds while the simulation runs."""

    promise: str
    store: type[SimulatedStore] = SimulatedStore
    quota: type[Quota] = Quota
    membership: type[Membership] = Membership
    tasks: type[Tasks] = Tasks
    patched: Callable[[], AbstractContextManager[object]] = nullcontext


PRODUCT = Variant("the product as it is")


class _AnswersEarly(SimulatedStore):
    """Answers before the fsync: what was answered in the last moments goes down with the process."""

    _before: tuple[float, Connection] | None = None

    def run_group(self, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        before = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.backup(before)
        self._before = (asyncio.get_running_loop().time(), before)
        return super().run_group(functions)

    def die(self) -> None:
        super().die()
        if self._before and asyncio.get_running_loop().time() < self._before[0] + FSYNC_SECONDS:
            self._before[1].backup(self.connection)


class _NoSavepoints(SimulatedStore):
    """A function that raises is answered as ever, and not undone."""

    def run_group(self, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        return super().run_group([partial(_unguarded, fn) for fn in functions])


def _unguarded(fn: Callable[[Connection], Any], connection: Connection) -> Any:
    try:
        return fn(connection)
    except sqlite3.IntegrityError as fault:
        return MissingReference(str(fault))
    except sqlite3.OperationalError as fault:
        if not connection.in_transaction:
            raise
        return StorageError(str(fault))


class _CallsUnknownRefused(SimulatedStore):
    """Says that nothing was kept when a commit has failed."""

    def run_group(self, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        try:
            return super().run_group(functions)
        except CommitFailed as fault:
            raise StorageError(str(fault)) from fault


class _NoTimers(Tasks):
    """Never sweeps: what a dead process held is held for ever."""

    def every(self, seconds: float, message: Message[Any]) -> None:
        pass


class _NeverAsks(Membership):
    """Believes that each notification arrives."""

    def every(self, seconds: float, message: Message[Any]) -> None:
        pass


class _NeverGives(Quota):
    """Gives a promised gift when asked to, and never by itself."""

    def every(self, seconds: float, message: Message[Any]) -> None:
        if not isinstance(message, GrantDueGifts):
            super().every(seconds, message)


def _set_success(c: Connection, task_id: str, results: Sequence[str], attempt: int | None, now: int) -> bool:
    c.execute(
        """
        UPDATE tasks SET status = 'success', waiting = 0, holder = NULL, lease_until = NULL, completed_at = ?
        WHERE id = ?
        """,
        (now, task_id),
    )
    return True


def _unfenced_success(c: Connection, task_id: str, results: Sequence[str], attempt: int | None, now: int) -> bool:
    """Won, but by whoever comes: also by who has lost the lease."""
    return _win_success(c, task_id, results, None, now)


_win_success = tasks.win_success


def _set_failed(connection: Connection, failed: Sequence[FailedTask], now: int) -> set[FailedTask]:
    for task in failed:
        connection.execute(
            """
            UPDATE tasks SET status = 'failed', error = ?, waiting = 0, holder = NULL, lease_until = NULL,
                completed_at = ?
            WHERE id = ?
            """,
            (task.reason, now, task.id),
        )
    return set(failed)


def _set_paid(connection: Connection, paid: Sequence[PaidOrder], now: int) -> set[PaidOrder]:
    for p in paid:
        connection.execute(
            "UPDATE orders SET status = 'paid', transaction_id = ?, finished_at = ? WHERE id = ?",
            (p.transaction_id, now, p.order.id),
        )
    return set(paid)


def _forget(connection: Connection, answers: Sequence[idempotency.StoredAnswer]) -> None:
    """No answer is kept under its key."""


BROKEN = (
    Variant("an answer leaves after the commit", store=_AnswersEarly),
    Variant("a function that raises is undone", store=_NoSavepoints),
    Variant("a failed commit is an unknown outcome", store=_CallsUnknownRefused),
    Variant("a success is won", patched=lambda: patch.object(tasks, "win_success", _set_success)),
    Variant("a lost lease is worth nothing", patched=lambda: patch.object(tasks, "win_success", _unfenced_success)),
    Variant("a failure is won", patched=lambda: patch.object(tasks, "win_failed", _set_failed)),
    Variant("a payment is won", patched=lambda: patch.object(orders, "win_paid", _set_paid)),
    Variant("an answer is kept under its key", patched=lambda: patch.object(idempotency, "add", _forget)),
    Variant("leases that run out are given up", tasks=_NoTimers),
    Variant("a promised gift is given", quota=_NeverGives),
    Variant("gateways are asked about pending orders", membership=_NeverAsks),
)
