"""The sandbox's payment gateway, which implements the same port as a real gateway."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

from actors.ports import Acknowledgement, Channel, Clock, Invoice, Notification, Payment, PaymentForm, PaymentState
from server.sandbox import signed_notification
from server.sandbox.trades import Trade, Trades

_ACKNOWLEDGEMENTS = {
    Channel.WX: Acknowledgement("application/json", b'{"code":"SUCCESS"}'),
    Channel.ALIPAY: Acknowledgement("text/plain", b"success"),
}


class SandboxGateway:
    """A PaymentGateway for one `channel`. `base_url` is the server that serves the cashier page."""

    def __init__(self, channel: Channel, trades: Trades, base_url: str, secret: bytes, clock: Clock) -> None:
        self._channel, self._trades, self._base_url = channel, trades, base_url
        self._secret, self._clock = secret, clock
        self.acknowledgement = _ACKNOWLEDGEMENTS[channel]

    async def prepare(self, invoice: Invoice) -> PaymentForm:
        trade = Trade(invoice.order_id, self._channel, invoice.amount, invoice.subject, invoice.expires_at)
        await self._trades.open(trade)
        params = self._wx_params(trade) if self._channel is Channel.WX else self._alipay_params(trade)
        return PaymentForm(params, f"{self._base_url}/sandbox/cashier/{trade.order_id}")

    def recognizes(self, notification: Notification) -> bool:
        return notification.headers.get(signed_notification.CHANNEL_HEADER) == self._channel

    def verify_notification(self, notification: Notification) -> Payment:
        return signed_notification.verify(self._secret, self._channel, notification, self._clock.now() // 1000)

    async def query(self, order_id: str) -> Payment:
        return _payment(order_id, await self._trades.find(order_id))

    async def close(self, order_id: str) -> Payment:
        if await self._trades.find(order_id) is None:  # it was never opened, so it cannot be paid
            return Payment(order_id, PaymentState.CLOSED, 0, "")
        return _payment(order_id, await self._trades.close(order_id))

    def _wx_params(self, trade: Trade) -> Mapping[str, str]:
        """Return parameters in the format of WeChat Pay's in-app payment, with a signature of the sandbox."""
        timestamp, nonce = str(self._clock.now() // 1000), secrets.token_hex(16)
        package = f"prepay_id=sandbox{trade.order_id}"
        return {
            "appId": "wxsandbox",
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self._sign(f"wxsandbox\n{timestamp}\n{nonce}\n{package}\n"),
        }

    def _alipay_params(self, trade: Trade) -> Mapping[str, str]:
        fields = {"app_id": "sandbox", "out_trade_no": trade.order_id, "total_amount": f"{trade.amount / 100:.2f}"}
        return {"orderString": urlencode({**fields, "sign": self._sign(urlencode(fields))})}

    def _sign(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self._secret, text.encode(), hashlib.sha256)).decode()


def _payment(order_id: str, trade: Trade | None) -> Payment:
    if trade is None:
        return Payment(order_id, PaymentState.UNPAID, 0, "")
    return Payment(order_id, trade.state, trade.amount, trade.transaction_id)
