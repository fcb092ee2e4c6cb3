"""What the quota actor can be asked about balances and the ledger; commands.py has what changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.message import Message
from storage.quota.ledger import EntryKind as EntryKind
from storage.quota.ledger import LedgerEntry as LedgerEntry


@dataclass(frozen=True, slots=True)
class Balance:
    """What a user can spend now. `expires_at` in epoch milliseconds, None without a membership."""

    remaining: int
    is_member: bool
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class GetBalance(Message[Balance]):
    """Return the balance of a user; that of an unknown user is zero."""

    user_id: str


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """A page of a user's ledger entries, newest first. `next` starts the following page and is None on the last one."""

    entries: Sequence[LedgerEntry]
    next: int | None


@dataclass(frozen=True, slots=True)
class GetLedger(Message[LedgerPage]):
    """Return the entries of a user that are older than the entry with the id `before`."""

    user_id: str
    limit: int
    before: int | None = None


@dataclass(frozen=True, slots=True)
class GetEntriesOf(Message[Sequence[tuple[LedgerEntry, str | None]]]):
    """Return the entries that a record explains, the oldest first, each with the reason if it is an adjustment."""

    reference: str


@dataclass(frozen=True, slots=True)
class ExpireDueMemberships(Message[None]):
    """End the memberships whose time is over."""


@dataclass(frozen=True, slots=True)
class GrantDueGifts(Message[None]):
    """Grant the signup gifts that were promised but not granted at login, for example because of a crash."""
