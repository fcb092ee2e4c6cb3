"""A receiver of the webhook, which checks requests as the Standard Webhooks specification requires."""

from __future__ import annotations

import base64
import hmac
import time

from aiohttp import web

from server.gateways.sms.webhook.sender import Webhook
from server.gateways.sms.webhook.settings import WebhookSettings
from tests.server.gateways.sms.fake_provider import FakeProvider, ReceivedRequest, respond_with

SECRET = "a test's webhook secret, long enough"


def settings(base: str, **other: object) -> WebhookSettings:
    return WebhookSettings.model_validate({"url": f"{base}/sms", "secret": SECRET, **other})


def sender(base: str, seconds: float, **other: object) -> Webhook:
    return Webhook(settings(base, **other), seconds)


def provider(key: bytes = SECRET.encode()) -> FakeProvider:
    def check(received: ReceivedRequest) -> web.Response | None:
        message_id, timestamp = received.headers["webhook-id"], received.headers["webhook-timestamp"]
        digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + received.body, "sha256")
        fresh = abs(time.time() - int(timestamp)) < 300
        if fresh and received.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}":
            return None
        return web.Response(status=401)

    return FakeProvider(check, respond_with("", status=204))
