"""An SMS sender that posts each login code to the operator's own receiver, which can use any provider.

The requests are signed as Standard Webhooks specifies (signature.py).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from functools import partial

from yarl import URL

from actors.errors import DomainError, PhoneRefused, TooManyCodesForPhone
from actors.ids import new_id
from server.gateways.sms.delivery import (
    TOTAL_SECONDS,
    UNKNOWN_LIMIT,
    LoginCodeMessage,
    ProviderRefusal,
    deliver,
    unavailable,
)
from server.gateways.sms.hints import Hints
from server.gateways.sms.http_client import HttpClient, ProviderResponse
from server.gateways.sms.webhook.settings import WebhookSettings
from server.gateways.sms.webhook.signature import sign, signing_key

MAX_RETRY_AFTER = 86_400  # seconds


class Webhook:
    """An SmsSender. `seconds` limits one message, its second attempt included."""

    def __init__(self, settings: WebhookSettings, seconds: float = TOTAL_SECONDS) -> None:
        self._url, self._seconds, self._http = URL(settings.url), seconds, HttpClient()
        self._key = signing_key(settings.secret.get_secret_value())

    async def send(self, phone: str, code: str, minutes: int) -> None:
        """Send one message. Both attempts carry the same webhook-id, by which a receiver can drop duplicates."""
        attempt = partial(self._attempt, f"msg_{new_id()}")
        await deliver("webhook", LoginCodeMessage(phone, code, minutes), attempt, self._seconds)

    async def close(self) -> None:
        await self._http.close()

    async def _attempt(self, message_id: str, message: LoginCodeMessage) -> ProviderRefusal | None:
        body = json.dumps({"phone": message.phone, "code": message.code, "minutes": message.minutes}).encode()
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, message_id, timestamp, body),
        }
        response = await self._http.post(self._url, headers, body)
        if response.status // 100 == 2:
            return None
        code = f"HTTP {response.status}"
        return ProviderRefusal(code, "", message_id, _error(response), _HINTS.for_code(code))


def _error(response: ProviderResponse) -> DomainError:
    match response.status:
        case 422:
            return PhoneRefused()
        case 429:
            return TooManyCodesForPhone(limit=UNKNOWN_LIMIT, retry_after=_retry_after(response.headers))
        case _:
            return unavailable()


def _retry_after(headers: Mapping[str, str]) -> int:
    """Return the seconds of Retry-After if they lie between one second and one day, and 60 otherwise."""
    text = headers.get("Retry-After", "")
    seconds = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    return seconds if 1 <= seconds <= MAX_RETRY_AFTER else 60


_HINTS = Hints(
    {
        "HTTP 3": "set sms.webhook.url to the final URL: redirects are not followed",
        "HTTP 401": "check the sms.webhook.secret of the receiver and the clocks of both machines",
        "HTTP 403": "check the sms.webhook.secret of the receiver and the clocks of both machines",
        "HTTP 404": "check sms.webhook.url",
        "HTTP 422": "",
        "HTTP 429": "",
        "": "look at the log of the receiver",
    }
)
