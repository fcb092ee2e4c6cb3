"""A plain POST to the operator's own receiver, which hands the message to any provider.

Signed as Standard Webhooks says: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from functools import partial

from yarl import URL

from actors.errors import DomainError, PhoneRefused, TooManyCodesForPhone
from actors.ids import new_id
from server.gateways.sms.delivery import SECONDS, UNTOLD, Message, Refusal, deliver, unavailable
from server.gateways.sms.hints import Hints
from server.gateways.sms.http_client import Answer, Poster
from server.settings.model import WebhookSms

DAY = 86_400  # seconds


class Webhook:
    """An SmsSender. `seconds` are for a message with its second attempt."""

    def __init__(self, settings: WebhookSms, seconds: float = SECONDS) -> None:
        self._url, self._seconds, self._poster = URL(settings.url), seconds, Poster()
        self._key = signing_key(settings.secret.get_secret_value())

    async def send(self, phone: str, code: str, minutes: int) -> None:
        """One webhook-id for the message, whichever attempt arrives: a receiver can tell it from the next one."""
        attempt = partial(self._attempt, f"msg_{new_id()}")
        await deliver("webhook", Message(phone, code, minutes), attempt, self._seconds)

    async def close(self) -> None:
        await self._poster.close()

    async def _attempt(self, message_id: str, message: Message) -> Refusal | None:
        body = json.dumps({"phone": message.phone, "code": message.code, "minutes": message.minutes}).encode()
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, message_id, timestamp, body),
        }
        answer = await self._poster.post(self._url, headers, body)
        if answer.status // 100 == 2:
            return None
        code = f"HTTP {answer.status}"
        return Refusal(code, "", message_id, _error(answer), _HINTS.of(code))


def signing_key(secret: str) -> bytes:
    """The secret's own bytes, or what the base64 after `whsec_` stands for. Raises binascii.Error."""
    encoded = secret.removeprefix("whsec_")
    return secret.encode() if encoded == secret else base64.b64decode(encoded, validate=True)


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header webhook-signature; `timestamp` in epoch seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def _error(answer: Answer) -> DomainError:
    match answer.status:
        case 422:
            return PhoneRefused()
        case 429:
            return TooManyCodesForPhone(limit=UNTOLD, retry_after=_retry_after(answer.headers))
        case _:
            return unavailable()


def _retry_after(headers: Mapping[str, str]) -> int:
    """Seconds from one to a day, or a minute where the receiver says anything else."""
    text = headers.get("Retry-After", "")
    seconds = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    return seconds if 1 <= seconds <= DAY else 60


_HINTS = Hints(
    {
        "HTTP 3": "set sms.webhook.url to the final address: redirects are not followed",
        "HTTP 401": "check that the receiver has the same sms.webhook.secret, and both machines' clocks",
        "HTTP 403": "check that the receiver has the same sms.webhook.secret, and both machines' clocks",
        "HTTP 404": "check sms.webhook.url",
        "HTTP 422": "",
        "HTTP 429": "",
        "": "see the receiver's own log",
    }
)
