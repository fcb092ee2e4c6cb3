"""Which payment notifications are believed: any that is not exactly right credits nothing."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from actors.ports import Notification
from server.sandbox.signed_notification import CHANNEL, NONCE, SIGNATURE, TIMESTAMP
from tests.server.sandbox.notifications import (
    CALLBACK,
    KEY,
    assert_granted_once,
    assert_pending,
    buyer,
    notify,
    signed,
)
from tests.support.server import SECRETS, LocalServer


@pytest.mark.parametrize("channel, body", [("wx", b'{"code":"SUCCESS"}'), ("alipay", b"success")])
@pytest.mark.parametrize("common", [False, True], ids=["own address", "common address"])
async def test_a_right_one_is_credited_and_answered_as_its_gateway_wants(
    server: LocalServer, channel: str, body: bytes, common: bool
) -> None:
    who = await buyer(server, channel)
    answer = await notify(server, signed(server, who.paid), "" if common else f"/{channel}")
    assert (answer.status, answer.raw) == (200, body)
    await assert_granted_once(server, who)


async def test_wechat_is_wx_here_too(server: LocalServer) -> None:
    who = await buyer(server)
    assert (await notify(server, signed(server, who.paid), "/wechat")).status == 200
    await assert_granted_once(server, who)


@pytest.mark.parametrize(
    "key",
    [
        *(b"", b"guess", SECRETS["internal"].encode(), SECRETS["token"].encode(), SECRETS["media"].encode()),
        hmac.digest(SECRETS["token"].encode(), b"sandbox payment gateway", hashlib.sha256),
    ],
)
async def test_a_forged_one_credits_nothing(server: LocalServer, key: bytes) -> None:
    who = await buyer(server)
    for address in ("", "/wx"):
        assert (await notify(server, signed(server, who.paid, key=key), address)).refusal == (401, 5004)
    await assert_pending(server, who)


async def test_an_altered_one_credits_nothing(server: LocalServer) -> None:
    who, other = await buyer(server), await buyer(server)
    right = signed(server, who.paid)
    for old, new in ((who.order, other.order), ("9900", "1"), ("paid", "closed"), ("wx", "alipay"), ("{", "{ ")):
        altered = Notification(right.headers, right.body.replace(old.encode(), new.encode()))
        assert altered.body != right.body
        assert (await notify(server, altered)).refusal == (401, 5004), old
    await assert_pending(server, who)
    await assert_pending(server, other)


@pytest.mark.parametrize("name", [TIMESTAMP, NONCE, SIGNATURE])
@pytest.mark.parametrize("value", ["", "0", "é", "1795420800.0", "-1", "１７９５４２０８００", "9" * 5000])
async def test_an_altered_header_credits_nothing(server: LocalServer, name: str, value: str) -> None:
    who = await buyer(server)
    assert (await notify(server, signed(server, who.paid), **{name: value})).refusal == (401, 5004)
    await assert_pending(server, who)


@pytest.mark.parametrize(
    "timestamp", ["", "soon", "1e9", "-1", "１７９５４２０８００", "9" * 13, "0x6b03f0c0", " 1795420800"]
)
async def test_a_signed_time_that_is_none_credits_nothing(server: LocalServer, timestamp: str) -> None:
    who = await buyer(server)
    right = signed(server, who.paid)
    text = f"{timestamp}\n{right.headers[NONCE]}\n".encode() + right.body
    signature = hmac.new(KEY, text, hashlib.sha256).hexdigest()
    headers = {TIMESTAMP: timestamp, SIGNATURE: signature}
    assert (await notify(server, right, **headers)).refusal == (401, 5004)
    await assert_pending(server, who)


@pytest.mark.parametrize("later, fresh", [(-300, False), (-299, True), (299, True), (300, False), (-86_400, False)])
async def test_a_stale_one_credits_nothing(server: LocalServer, later: int, fresh: bool) -> None:
    who = await buyer(server)
    answer = await notify(server, signed(server, who.paid, later=later))
    if fresh:
        await assert_granted_once(server, who)
    else:
        assert answer.refusal == (401, 5004)
        await assert_pending(server, who)


@pytest.mark.parametrize("amount", [0, 1, 9899, 9901, 990_000, -9900])
async def test_a_wrong_amount_credits_nothing(server: LocalServer, amount: int) -> None:
    who = await buyer(server)
    assert (await notify(server, signed(server, who.paid, amount=amount))).refusal == (409, 4009)
    await assert_pending(server, who)
    assert (await notify(server, signed(server, who.paid))).status == 200, "and does not stand in the way"
    await assert_granted_once(server, who)


async def test_a_wrong_channel_credits_nothing(server: LocalServer) -> None:
    who = await buyer(server, "wx")
    assert (await notify(server, signed(server, who.paid), "/alipay")).refusal == (401, 5004)
    foreign = signed(server, who.paid, channel="alipay")
    assert (await notify(server, foreign, "/wx")).refusal == (401, 5004)
    for address in ("/alipay", ""):
        assert (await notify(server, foreign, address)).refusal == (409, 4009), "well signed, for an order of the other"
    await assert_pending(server, who)


async def test_another_merchants_payment_credits_nothing(server: LocalServer) -> None:
    who = await buyer(server)
    right = signed(server, who.paid)
    body = json.dumps({**json.loads(right.body), "merchant": "somebody-else"}).encode()
    text = f"{right.headers[TIMESTAMP]}\n{right.headers[NONCE]}\n".encode() + body
    headers = {SIGNATURE: hmac.new(KEY, text, hashlib.sha256).hexdigest()}
    assert (await notify(server, Notification(right.headers, body), **headers)).refusal == (401, 5004)
    await assert_pending(server, who)


@pytest.mark.parametrize("order", ["0" * 32, "", "x", "' OR 1=1 --", "é\x00"])
async def test_an_unknown_order_credits_nobody(server: LocalServer, order: str) -> None:
    who = await buyer(server)
    assert (await notify(server, signed(server, who.paid, order_id=order))).refusal == (404, 5002)
    await assert_pending(server, who)


async def test_a_channel_that_is_none(server: LocalServer) -> None:
    who = await buyer(server)
    for channel in ("paypal", "WX", "wx%0A", "%00", "%ED%A0%80", "%EF%BD%97%EF%BD%98"):
        assert (await notify(server, signed(server, who.paid), f"/{channel}")).refusal == (400, 5003), channel
    await assert_pending(server, who)


@pytest.mark.parametrize("claim", ["", "paypal", "WX", "é", "wx,alipay"])
async def test_a_common_address_takes_only_what_a_channel_claims(server: LocalServer, claim: str) -> None:
    who = await buyer(server)
    assert (await notify(server, signed(server, who.paid), "", **{CHANNEL: claim})).refusal == (
        401,
        5004,
    )
    await assert_pending(server, who)


async def test_a_bare_call_credits_nothing(server: LocalServer) -> None:
    who = await buyer(server)
    said = {"orderId": who.order, "state": "paid", "amount": 9900, "transactionId": "x", "channel": "wx"}
    bodies: list[object] = [said, {}, [], None, "x"]
    for body in bodies:
        for address in ("", "/wx", "/alipay"):
            answer = await server.post(CALLBACK + address, body, user=who.person)
            assert answer.refusal == (401, 5004)
    await assert_pending(server, who)
