"""The sandbox's payment service: takes a payment, then tells the merchant over HTTP, as a real gateway does."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import structlog

from actors.ports import Clock, PaymentState
from server.sandbox import signed_notification
from server.sandbox.trades import Trade, Trades

log = structlog.stdlib.get_logger("darkroom.sandbox")

RETRY_SECONDS = (1, 5, 15, 60)  # a real gateway goes on for a day
ANSWER_SECONDS = 5


class Cashier:
    """`notify_url` is the merchant's callback address, to which the channel is added."""

    def __init__(self, trades: Trades, notify_url: str, secret: bytes, clock: Clock) -> None:
        self._trades, self._notify_url, self._secret, self._clock = trades, notify_url, secret, clock
        self._retries: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))

    async def stop(self) -> None:
        for retry in self._retries:
            retry.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def find(self, order_id: str) -> Trade | None:
        return await self._trades.find(order_id)

    async def pay(self, order_id: str) -> tuple[Trade, bool]:
        """Pay, then notify; the trade, and whether the merchant has taken the notification already.

        Paying again pays nothing but notifies once more. A trade that is closed or has run out cannot be
        paid, and nobody is told.
        Raises OrderNotFound.
        """
        trade = await self._trades.pay(order_id, self._clock.now())
        if trade.state is not PaymentState.PAID:
            return trade, False
        notified = await self._notify(trade)
        if not notified:
            retry = asyncio.create_task(self._notify_again(trade))
            self._retries.add(retry)
            retry.add_done_callback(self._retries.discard)
        return trade, notified

    async def _notify_again(self, trade: Trade) -> None:
        for seconds in RETRY_SECONDS:
            await asyncio.sleep(seconds)
            if await self._notify(trade):
                return

    async def _notify(self, trade: Trade) -> bool:
        assert self._http is not None, "the cashier was started"
        notification = signed_notification.signed(self._secret, trade, self._clock.now() // 1000)
        address = f"{self._notify_url}/{trade.channel}"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.post(address, data=notification.body, headers=notification.headers) as answer:
                if answer.status == 200:
                    return True
                log.warning("the callback refused a notification", order=trade.order_id, status=answer.status)
        return False
