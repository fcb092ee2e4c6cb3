"""The sandbox's payment service: it takes a payment and notifies the merchant over HTTP, as a real gateway does."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import structlog

from actors.ports import Clock, PaymentState
from server.sandbox import signed_notification
from server.sandbox.trades import Trade, Trades

log = structlog.stdlib.get_logger("darkroom.sandbox")

RETRY_SECONDS = (1, 5, 15, 60)  # a real gateway retries for about a day
RESPONSE_TIMEOUT_SECONDS = 5


class Cashier:
    """Takes payments and sends notifications. The channel is appended to `notify_url`, the merchant's callback."""

    def __init__(self, trades: Trades, notify_url: str, secret: bytes, clock: Clock) -> None:
        self._trades, self._notify_url, self._secret, self._clock = trades, notify_url, secret, clock
        self._retries: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=RESPONSE_TIMEOUT_SECONDS))

    async def stop(self) -> None:
        for retry in self._retries:
            retry.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def find(self, order_id: str) -> Trade | None:
        return await self._trades.find(order_id)

    async def pay(self, order_id: str) -> tuple[Trade, bool]:
        """Pay a trade and notify the merchant. Return the trade and whether the merchant accepted the notification.

        Paying again only sends another notification. A closed or expired trade cannot be paid, and then no
        notification is sent. Raises OrderNotFound.
        """
        trade = await self._trades.pay(order_id, self._clock.now())
        if trade.state is not PaymentState.PAID:
            return trade, False
        notified = await self._notify(trade)
        if not notified:
            retry = asyncio.create_task(self._retry_notification(trade))
            self._retries.add(retry)
            retry.add_done_callback(self._retries.discard)
        return trade, notified

    async def _retry_notification(self, trade: Trade) -> None:
        for seconds in RETRY_SECONDS:
            await asyncio.sleep(seconds)
            if await self._notify(trade):
                return

    async def _notify(self, trade: Trade) -> bool:
        assert self._http is not None, "the cashier was started"
        notification = signed_notification.sign(self._secret, trade, self._clock.now() // 1000)
        url = f"{self._notify_url}/{trade.channel}"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.post(url, data=notification.body, headers=notification.headers) as response:
                if response.status == 200:
                    return True
                log.warning("the payment callback refused a notification", order=trade.order_id, status=response.status)
        return False
