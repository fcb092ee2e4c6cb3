"""Only a payment notification that is valid in every part credits a membership."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from actors.ports import Notification
from server.sandbox.signed_notification import CHANNEL_HEADER, NONCE_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from tests.server.sandbox.notifications import (
    CALLBACK,
    KEY,
    assert_granted_once,
    assert_pending,
    create_buyer,
    notify,
    sign,
)
from tests.support.server import SECRETS, LocalServer


@pytest.mark.parametrize("channel, body", [("wx", b'{"code":"SUCCESS"}'), ("alipay", b"success")])
@pytest.mark.parametrize("common", [False, True], ids=["own address", "common address"])
async def test_a_valid_notification_is_credited_and_acknowledged(
    server: LocalServer, channel: str, body: bytes, common: bool
) -> None:
    buyer = await create_buyer(server, channel)
    answer = await notify(server, sign(server, buyer.paid), "" if common else f"/{channel}")
    assert (answer.status, answer.raw) == (200, body)
    await assert_granted_once(server, buyer)


async def test_wechat_is_accepted_as_the_channel_wx(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    assert (await notify(server, sign(server, buyer.paid), "/wechat")).status == 200
    await assert_granted_once(server, buyer)


@pytest.mark.parametrize(
    "key",
    [
        *(b"", b"guess", SECRETS["internal"].encode(), SECRETS["token"].encode(), SECRETS["media"].encode()),
        hmac.digest(SECRETS["token"].encode(), b"sandbox payment gateway", hashlib.sha256),
    ],
)
async def test_a_forged_notification_credits_nothing(server: LocalServer, key: bytes) -> None:
    buyer = await create_buyer(server)
    for address in ("", "/wx"):
        assert (await notify(server, sign(server, buyer.paid, key=key), address)).refusal == (401, 5004)
    await assert_pending(server, buyer)


async def test_an_altered_notification_credits_nothing(server: LocalServer) -> None:
    buyer, other = await create_buyer(server), await create_buyer(server)
    valid = sign(server, buyer.paid)
    for old, new in ((buyer.order, other.order), ("9900", "1"), ("paid", "closed"), ("wx", "alipay"), ("{", "{ ")):
        altered = Notification(valid.headers, valid.body.replace(old.encode(), new.encode()))
        assert altered.body != valid.body
        assert (await notify(server, altered)).refusal == (401, 5004), old
    await assert_pending(server, buyer)
    await assert_pending(server, other)


@pytest.mark.parametrize("name", [TIMESTAMP_HEADER, NONCE_HEADER, SIGNATURE_HEADER])
@pytest.mark.parametrize("value", ["", "0", "é", "1795420800.0", "-1", "１７９５４２０８００", "9" * 5000])
async def test_an_altered_header_credits_nothing(server: LocalServer, name: str, value: str) -> None:
    buyer = await create_buyer(server)
    assert (await notify(server, sign(server, buyer.paid), **{name: value})).refusal == (401, 5004)
    await assert_pending(server, buyer)


async def test_a_signed_but_malformed_timestamp_credits_nothing(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    valid = sign(server, buyer.paid)
    for timestamp in ["", "soon", "1e9", "-1", "１７９５４２０８００", "9" * 13, "0x6b03f0c0", " 1795420800"]:
        text = f"{timestamp}\n{valid.headers[NONCE_HEADER]}\n".encode() + valid.body
        signature = hmac.new(KEY, text, hashlib.sha256).hexdigest()
        headers = {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature}
        assert (await notify(server, valid, **headers)).refusal == (401, 5004), timestamp
        await assert_pending(server, buyer)


@pytest.mark.parametrize("later, fresh", [(-300, False), (-299, True), (299, True), (300, False), (-86_400, False)])
async def test_a_stale_notification_credits_nothing(server: LocalServer, later: int, fresh: bool) -> None:
    buyer = await create_buyer(server)
    answer = await notify(server, sign(server, buyer.paid, later=later))
    if fresh:
        await assert_granted_once(server, buyer)
    else:
        assert answer.refusal == (401, 5004)
        await assert_pending(server, buyer)


@pytest.mark.parametrize("amount", [0, 1, 9899, 9901, 990_000, -9900])
async def test_a_wrong_amount_credits_nothing(server: LocalServer, amount: int) -> None:
    buyer = await create_buyer(server)
    assert (await notify(server, sign(server, buyer.paid, amount=amount))).refusal == (409, 4009)
    await assert_pending(server, buyer)
    assert (await notify(server, sign(server, buyer.paid))).status == 200, (
        "the wrong notification does not block the right one"
    )
    await assert_granted_once(server, buyer)


async def test_a_wrong_channel_credits_nothing(server: LocalServer) -> None:
    buyer = await create_buyer(server, "wx")
    assert (await notify(server, sign(server, buyer.paid), "/alipay")).refusal == (401, 5004)
    alipay_notification = sign(server, buyer.paid, channel="alipay")
    assert (await notify(server, alipay_notification, "/wx")).refusal == (401, 5004)
    for address in ("/alipay", ""):
        assert (await notify(server, alipay_notification, address)).refusal == (409, 4009), (
            "correctly signed, but the order has the other channel"
        )
    await assert_pending(server, buyer)


async def test_another_merchants_payment_credits_nothing(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    valid = sign(server, buyer.paid)
    body = json.dumps({**json.loads(valid.body), "merchant": "another-merchant"}).encode()
    text = f"{valid.headers[TIMESTAMP_HEADER]}\n{valid.headers[NONCE_HEADER]}\n".encode() + body
    headers = {SIGNATURE_HEADER: hmac.new(KEY, text, hashlib.sha256).hexdigest()}
    assert (await notify(server, Notification(valid.headers, body), **headers)).refusal == (401, 5004)
    await assert_pending(server, buyer)


@pytest.mark.parametrize("order", ["0" * 32, "", "x", "' OR 1=1 --", "é\x00"])
async def test_a_notification_of_an_unknown_order_credits_nothing(server: LocalServer, order: str) -> None:
    buyer = await create_buyer(server)
    assert (await notify(server, sign(server, buyer.paid, order_id=order))).refusal == (404, 5002)
    await assert_pending(server, buyer)


async def test_an_unknown_channel_in_the_path_is_refused(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    for channel in ("paypal", "WX", "wx%0A", "%00", "%ED%A0%80", "%EF%BD%97%EF%BD%98"):
        assert (await notify(server, sign(server, buyer.paid), f"/{channel}")).refusal == (400, 5003), channel
    await assert_pending(server, buyer)


@pytest.mark.parametrize("claim", ["", "paypal", "WX", "é", "wx,alipay"])
async def test_the_common_address_needs_a_known_channel_header(server: LocalServer, claim: str) -> None:
    buyer = await create_buyer(server)
    assert (await notify(server, sign(server, buyer.paid), "", **{CHANNEL_HEADER: claim})).refusal == (
        401,
        5004,
    )
    await assert_pending(server, buyer)


async def test_an_unsigned_call_credits_nothing(server: LocalServer) -> None:
    buyer = await create_buyer(server)
    fields = {"orderId": buyer.order, "state": "paid", "amount": 9900, "transactionId": "x", "channel": "wx"}
    bodies: list[object] = [fields, {}, [], None, "x"]
    for body in bodies:
        for address in ("", "/wx", "/alipay"):
            answer = await server.post(CALLBACK + address, body, user=buyer.user)
            assert answer.refusal == (401, 5004)
    await assert_pending(server, buyer)
