"""The trades of the sandbox's payment service, stored as JSON files.

They survive a restart of the server, as the records of a real gateway do.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from actors.errors import OrderNotFound
from actors.ids import is_id, new_id
from actors.ports import PaymentState
from server.sandbox.json_file import write_json_file


@dataclass(frozen=True, slots=True)
class Trade:
    """A payment at the sandbox gateway.

    `amount` in fen, `expires_at` in epoch milliseconds; `transaction_id` is empty until the trade is paid.
    """

    order_id: str
    channel: str
    amount: int
    subject: str
    expires_at: int
    state: PaymentState = PaymentState.UNPAID
    transaction_id: str = ""


class Trades:
    """The trades, one JSON file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._write_lock = asyncio.Lock()

    async def open(self, trade: Trade) -> Trade:
        """Store the trade, or return the existing one with the same order id."""
        async with self._write_lock:
            existing = await self.find(trade.order_id)
            if existing is None:
                await self._write(trade)
            return existing or trade

    async def find(self, order_id: str) -> Trade | None:
        return await asyncio.to_thread(self._read, order_id)

    async def pay(self, order_id: str, now: int) -> Trade:
        """Pay an unpaid trade, or close it when it has expired. Other trades do not change. Raises OrderNotFound."""
        trade = await self.find(order_id)
        if trade is not None and trade.expires_at <= now:
            return await self.close(order_id)
        return await self._finish(order_id, PaymentState.PAID, f"sandbox{new_id()[7:]}")

    async def close(self, order_id: str) -> Trade:
        """Close an unpaid trade. Other trades do not change. Raises OrderNotFound."""
        return await self._finish(order_id, PaymentState.CLOSED, "")

    async def _finish(self, order_id: str, state: PaymentState, transaction_id: str) -> Trade:
        async with self._write_lock:
            trade = await self.find(order_id)
            if trade is None:
                raise OrderNotFound
            if trade.state is PaymentState.UNPAID:
                trade = replace(trade, state=state, transaction_id=transaction_id)
                await self._write(trade)
            return trade

    def _read(self, order_id: str) -> Trade | None:
        path = self._folder / f"{order_id}.json"
        if not is_id(order_id) or not path.is_file():
            return None
        fields = json.loads(path.read_text("utf-8"))
        return Trade(**{**fields, "state": PaymentState(fields["state"])})

    async def _write(self, trade: Trade) -> None:
        await asyncio.to_thread(write_json_file, self._folder / f"{trade.order_id}.json", asdict(trade))
