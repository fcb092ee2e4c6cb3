"""What the sandbox's payment service knows: trades, as files that outlive the server like a real gateway's books."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from actors.errors import OrderNotFound
from actors.ids import is_id, new_id
from actors.ports import PaymentState
from server.sandbox.json_file import write_book


@dataclass(frozen=True, slots=True)
class Trade:
    """`amount` in fen, `expires_at` in epoch milliseconds; `transaction_id` from when it is paid."""

    order_id: str
    channel: str
    amount: int
    subject: str
    expires_at: int
    state: PaymentState = PaymentState.UNPAID
    transaction_id: str = ""


class Trades:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changing = asyncio.Lock()

    async def open(self, trade: Trade) -> Trade:
        """The trade with this order id; a new one if there was none."""
        async with self._changing:
            known = await self.find(trade.order_id)
            if known is None:
                await self._write(trade)
            return known or trade

    async def find(self, order_id: str) -> Trade | None:
        return await asyncio.to_thread(self._read, order_id)

    async def pay(self, order_id: str, now: int) -> Trade:
        """Pay an open trade, or close it when its time is over; any other stays as it is. Raises OrderNotFound."""
        trade = await self.find(order_id)
        if trade is not None and trade.expires_at <= now:
            return await self.close(order_id)
        return await self._end(order_id, PaymentState.PAID, f"sandbox{new_id()[7:]}")

    async def close(self, order_id: str) -> Trade:
        """Close an open trade; any other stays as it is. Raises OrderNotFound."""
        return await self._end(order_id, PaymentState.CLOSED, "")

    async def _end(self, order_id: str, state: PaymentState, transaction_id: str) -> Trade:
        async with self._changing:
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
        kept = json.loads(path.read_text("utf-8"))
        return Trade(**{**kept, "state": PaymentState(kept["state"])})

    async def _write(self, trade: Trade) -> None:
        await asyncio.to_thread(write_book, self._folder / f"{trade.order_id}.json", asdict(trade))
