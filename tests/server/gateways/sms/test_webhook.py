"""The webhook sender against a receiver that checks signatures as Standard Webhooks specifies."""

from __future__ import annotations

import asyncio
import json
from typing import NoReturn

import aiohttp
import pytest
from aiohttp import web

from actors.errors import PhoneRefused, ServiceUnavailable, TooManyCodesForPhone
from server.gateways.sms.webhook.signature import sign, signing_key
from tests.server.gateways.sms import webhook_provider
from tests.server.gateways.sms.connected_sender import TIMEOUT_SECONDS, ConnectedSender, connected_sender
from tests.server.gateways.sms.fake_provider import CODE, MINUTES, PHONE, respond_with


def test_the_signature_matches_the_example_of_the_specification() -> None:
    """The libraries of Standard Webhooks use this vector in their own tests."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_message_arrives_as_json(webhook: ConnectedSender) -> None:
    await webhook.send()
    [received] = webhook.provider.received
    assert (received.method, received.target) == ("POST", "/sms")
    assert received.headers["content-type"] == "application/json"
    assert json.loads(received.body) == {"phone": "13800138000", "code": "271828", "minutes": 5}


async def test_a_base64_secret_signs_with_its_decoded_bytes() -> None:
    provider = webhook_provider.provider(b"thirty-two bytes for a test's key")
    await provider.listen()
    secret = "whsec_dGhpcnR5LXR3byBieXRlcyBmb3IgYSB0ZXN0J3Mga2V5"
    await webhook_provider.sender(provider.base, 60, secret=secret).send(PHONE, CODE, MINUTES)
    await provider.stop()


async def test_each_message_has_an_id_of_its_own(webhook: ConnectedSender) -> None:
    for _ in range(3):
        await webhook.send()
    assert len({received.headers["webhook-id"] for received in webhook.provider.received}) == 3


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_success_whatever_its_body(webhook: ConnectedSender, status: int) -> None:
    webhook.provider.reply = respond_with("" if status == 204 else "<html>", status)
    await webhook.send()
    assert webhook.log == []


async def test_422_refuses_the_phone(webhook: ConnectedSender) -> None:
    webhook.provider.reply = respond_with({}, 422)
    with pytest.raises(PhoneRefused):
        await webhook.send()
    assert webhook.levels == ["warning"]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1", 1),
        ("30", 30),
        ("86400", 86400),
        ("86401", 60),
        ("0", 60),
        ("-5", 60),
        ("٣", 60),
        ("9" * 5000, 60),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60),
        ("", 60),
    ],
)
async def test_429_limits_one_phone_for_the_given_time(webhook: ConnectedSender, said: str, seconds: int) -> None:
    webhook.provider.reply = respond_with({}, 429, {"Retry-After": said})
    with pytest.raises(TooManyCodesForPhone) as caught:
        await webhook.send()
    assert (caught.value.facts, webhook.levels) == ({"limit": 1, "retry_after": seconds}, ["warning"])


async def test_429_without_a_time_means_one_minute(webhook: ConnectedSender) -> None:
    webhook.provider.reply = respond_with({}, 429)
    with pytest.raises(TooManyCodesForPhone) as caught:
        await webhook.send()
    assert caught.value.facts["retry_after"] == 60


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (302, "redirects are not followed"),
        (400, "the log of the receiver"),
        (404, "sms.webhook.url"),
        (500, "the log of the receiver"),
        (503, "the log of the receiver"),
    ],
)
async def test_any_other_status_is_an_error_with_a_hint(webhook: ConnectedSender, status: int, hint: str) -> None:
    webhook.provider.reply = respond_with({}, status)
    with pytest.raises(ServiceUnavailable):
        await webhook.send()
    [line] = webhook.log
    assert (line["log_level"], line["provider"], line["provider_code"]) == ("error", "webhook", f"HTTP {status}")
    assert line["request_id"] == webhook.provider.received[0].headers["webhook-id"]
    assert hint in line["hint"]


async def test_a_wrong_secret_is_reported_to_the_operator() -> None:
    async with connected_sender(webhook_provider, secret="another secret, which is long enough") as sms:
        with pytest.raises(ServiceUnavailable):
            await sms.send()
    assert "sms.webhook.secret" in sms.log[0]["hint"]


@pytest.mark.parametrize(
    "raw",
    [b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"not HTTP at all"],
)
async def test_a_key_in_the_address_is_not_logged(raw: bytes) -> None:
    """The addresses of receivers often contain a key."""

    async def broken(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(raw)
        request.transport.close()
        return web.Response()

    async with connected_sender(webhook_provider) as sms:
        sms.provider.reply = broken
        sender = webhook_provider.sender(f"{sms.provider.base}/hook?key=HOOKSECRET&at=", TIMEOUT_SECONDS)
        with pytest.raises(ServiceUnavailable):
            await sender.send(PHONE, CODE, MINUTES)
        await sender.close()
        assert sms.levels == ["error"] and "HOOKSECRET" not in str(sms.log)


async def test_a_name_that_does_not_resolve_counts_as_not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so there is a second attempt, and the log does not say that the message may have been sent."""
    asked = 0

    async def silent(*_: object, **__: object) -> NoReturn:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("server.gateways.sms.http_client._TIMEOUT", aiohttp.ClientTimeout(total=None, connect=0.01))
    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", silent)
    async with connected_sender(webhook_provider, listening=False) as sms:
        sender = webhook_provider.sender("http://nowhere.example", TIMEOUT_SECONDS)
        with pytest.raises(ServiceUnavailable):
            await sender.send(PHONE, CODE, MINUTES)
        await sender.close()
    assert sms.levels == ["warning", "error"] and "cannot be reached" in sms.log[1]["event"]
    assert asked == 1, "both attempts share one lookup"
