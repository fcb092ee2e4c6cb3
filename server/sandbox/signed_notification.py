"""The sandbox gateway's notification, as both of its ends know it.

`POST` with a JSON body `{merchant, orderId, channel, state, amount, transactionId}`, signed in headers by HMAC-SHA256
over the lines timestamp (epoch seconds), nonce and body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets

from actors.errors import SignatureInvalid
from actors.ports import Notification, Payment, PaymentState
from server.sandbox.trades import Trade

MERCHANT = "sandbox-merchant"
MAX_AGE = 300  # seconds, as with WeChat Pay

CHANNEL, TIMESTAMP, NONCE, SIGNATURE = "sandbox-channel", "sandbox-timestamp", "sandbox-nonce", "sandbox-signature"


def signed(secret: bytes, trade: Trade, now: int) -> Notification:
    """The notification of a trade at `now` (epoch seconds)."""
    content = {
        "merchant": MERCHANT,
        "orderId": trade.order_id,
        "channel": trade.channel,
        "state": trade.state.value,
        "amount": trade.amount,
        "transactionId": trade.transaction_id,
    }
    body = json.dumps(content).encode()
    timestamp, nonce = str(now), secrets.token_hex(16)
    headers = {
        CHANNEL: trade.channel,
        TIMESTAMP: timestamp,
        NONCE: nonce,
        SIGNATURE: _sign(secret, timestamp, nonce, body),
        "content-type": "application/json",
    }
    return Notification(headers, body)


def verified(secret: bytes, channel: str, notification: Notification, now: int) -> Payment:
    """What the notification says, once its signature, age, merchant and channel are right. Raises SignatureInvalid."""
    headers, body = notification.headers, notification.body
    timestamp, nonce = headers.get(TIMESTAMP, ""), headers.get(NONCE, "")
    expected = _sign(secret, timestamp, nonce, body)
    given = headers.get(SIGNATURE, "")
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape")):
        raise SignatureInvalid
    if re.fullmatch(r"[0-9]{1,12}", timestamp) is None or abs(now - int(timestamp)) >= MAX_AGE:
        raise SignatureInvalid
    content = json.loads(body)
    if content["merchant"] != MERCHANT or content["channel"] != channel:
        raise SignatureInvalid
    return Payment(content["orderId"], PaymentState(content["state"]), content["amount"], content["transactionId"])


def _sign(secret: bytes, timestamp: str, nonce: str, body: bytes) -> str:
    signed = f"{timestamp}\n{nonce}\n".encode("utf-8", "surrogateescape") + body
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()
