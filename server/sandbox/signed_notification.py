"""The payment notification of the sandbox gateway: how it is signed and verified.

It is a `POST` with a JSON body `{merchant, orderId, channel, state, amount, transactionId}`. Its headers hold an
HMAC-SHA256 signature of the lines timestamp (epoch seconds), nonce and body.
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

CHANNEL_HEADER = "sandbox-channel"
TIMESTAMP_HEADER = "sandbox-timestamp"
NONCE_HEADER = "sandbox-nonce"
SIGNATURE_HEADER = "sandbox-signature"


def sign(secret: bytes, trade: Trade, now: int) -> Notification:
    """Return the signed notification of a trade. `now` is in epoch seconds."""
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
        CHANNEL_HEADER: trade.channel,
        TIMESTAMP_HEADER: timestamp,
        NONCE_HEADER: nonce,
        SIGNATURE_HEADER: _sign(secret, timestamp, nonce, body),
        "content-type": "application/json",
    }
    return Notification(headers, body)


def verify(secret: bytes, channel: str, notification: Notification, now: int) -> Payment:
    """Verify signature, age, merchant and channel, and return the payment. `now` is in epoch seconds.

    Raises SignatureInvalid.
    """
    headers, body = notification.headers, notification.body
    timestamp, nonce = headers.get(TIMESTAMP_HEADER, ""), headers.get(NONCE_HEADER, "")
    expected = _sign(secret, timestamp, nonce, body)
    signature = headers.get(SIGNATURE_HEADER, "")
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape")):
        raise SignatureInvalid
    if re.fullmatch(r"[0-9]{1,12}", timestamp) is None or abs(now - int(timestamp)) >= MAX_AGE:
        raise SignatureInvalid
    content = json.loads(body)
    if content["merchant"] != MERCHANT or content["channel"] != channel:
        raise SignatureInvalid
    return Payment(content["orderId"], PaymentState(content["state"]), content["amount"], content["transactionId"])


def _sign(secret: bytes, timestamp: str, nonce: str, body: bytes) -> str:
    message = f"{timestamp}\n{nonce}\n".encode("utf-8", "surrogateescape") + body
    return hmac.new(secret, message, hashlib.sha256).hexdigest()
