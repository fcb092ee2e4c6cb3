"""Routes: the caller's balance and ledger."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from actors.quota.actor import Quota
from actors.quota.messages import GetBalance, GetLedger, LedgerEntry
from server.http.body import Query, QueryInteger
from server.http.route import AnyRoute, Call, NoBody, NoQuery, Route, Success
from server.http.times import iso


class LedgerQuery(Query):
    limit: Annotated[QueryInteger, Field(ge=1, le=100)] = 20
    cursor: QueryInteger | None = None


class QuotaRoutes:
    def __init__(self, quota: Quota) -> None:
        self._quota = quota

    def routes(self) -> list[AnyRoute]:
        return [
            Route("GET", "/api/quota", self._get),
            Route("GET", "/api/quota/ledger", self._ledger, query=LedgerQuery),
        ]

    async def _get(self, call: Call[NoBody, NoQuery]) -> Success:
        balance = await self._quota.ask(GetBalance(call.caller.user_id))
        return Success(
            {"remaining": balance.remaining, "isMember": balance.is_member, "expireAt": iso(balance.expires_at)}
        )

    async def _ledger(self, call: Call[NoBody, LedgerQuery]) -> Success:
        page = await self._quota.ask(GetLedger(call.caller.user_id, call.query.limit, call.query.cursor))
        return Success(
            {"entries": [_entry_wire(entry) for entry in page.entries], "nextCursor": page.next and str(page.next)}
        )


def _entry_wire(entry: LedgerEntry) -> dict[str, str | int]:
    return {
        "id": str(entry.id),
        "kind": entry.kind.value,
        "amount": entry.amount,
        "balance": entry.balance,
        "reference": entry.reference,
        "createdAt": iso(entry.created_at),
    }
