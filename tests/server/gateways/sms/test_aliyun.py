"""Alibaba Cloud's SendSms by our own signature, against a provider that checks every one."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest

from actors.errors import DomainError, PhoneRefused, ServiceUnavailable, TooManyCodesForPhone
from server.gateways.sms.aliyun.acs3 import EMPTY_BODY_SHA256, Request
from tests.server.gateways.sms import aliyun_wire
from tests.server.gateways.sms.aliyun_wire import sent
from tests.server.gateways.sms.provider import Received, Reply, saying
from tests.server.gateways.sms.wire import Wire, wired


def parameters(received: Received) -> dict[str, str]:
    return dict(parse_qsl(received.query, strict_parsing=True))


def test_the_signature_is_that_of_the_documentations_example() -> None:
    """https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature, "Fixed values"."""
    request = Request(
        query={"RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"},
        headers={
            "host": "ecs.cn-shanghai.aliyuncs.com",
            "x-acs-action": "RunInstances",
            "x-acs-version": "2014-05-26",
            "x-acs-date": "2023-10-26T10:22:32Z",
            "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
            "x-acs-content-sha256": EMPTY_BODY_SHA256,
        },
    )
    assert request.authorization("YourAccessKeyId", "YourAccessKeySecret") == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


async def test_a_message_arrives_with_its_parameters(aliyun: Wire) -> None:
    await aliyun.send()
    [received] = aliyun.provider.received
    assert (received.method, received.target.partition("?")[0], received.body) == ("POST", "/", b"")
    assert received.headers["accept"] == "application/json"
    assert parameters(received) == {
        "PhoneNumbers": "13800138000",
        "SignName": "暗房 ~*",
        "TemplateCode": "SMS_1",
        "TemplateParam": '{"code": "271828"}',
    }


async def test_the_template_has_the_parameters_that_are_set() -> None:
    wanted = {"code": "{code}", "product": "暗房", "time": "{minutes}"}
    async with wired(aliyun_wire, template_param=wanted) as wire:
        await wire.send()
    filled = json.loads(parameters(wire.provider.received[0])["TemplateParam"])
    assert filled == {"code": "271828", "product": "暗房", "time": "5"}


async def test_no_two_requests_have_the_same_nonce(aliyun: Wire) -> None:
    for _ in range(3):
        await aliyun.send()
    assert len({received.headers["x-acs-signature-nonce"] for received in aliyun.provider.received}) == 3


def limited(limit: int, retry_after: int) -> DomainError:
    return TooManyCodesForPhone(limit=limit, retry_after=retry_after)


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("isv.MOBILE_NUMBER_ILLEGAL", "号码非法", PhoneRefused()),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1", limited(1, 60)),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5", limited(5, 3600)),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:10", limited(10, 86400)),
        ("isv.BUSINESS_LIMIT_CONTROL", "业务限流", limited(1, 60)),
    ],
)
async def test_one_phones_trouble_is_told_to_its_owner(
    aliyun: Wire, code: str, message: str, error: DomainError
) -> None:
    aliyun.provider.reply = sent(code, message)
    with pytest.raises(type(error)) as caught:
        await aliyun.send()
    assert (caught.value.facts, aliyun.levels) == (error.facts, ["warning"])


@pytest.mark.parametrize(
    ("code", "status", "hint"),
    [
        ("InvalidAccessKeyId.NotFound", 404, "sms.aliyun.access_key_id"),
        ("isp.RAM_PERMISSION_DENY", 200, "AliyunDysmsFullAccess"),
        ("InvalidTimeStamp.Expired", 400, "clock"),
        ("isv.AMOUNT_NOT_ENOUGH", 200, "add money"),
        ("isv.SMS_SIGNATURE_ILLEGAL", 200, "sms.aliyun.sign_name"),
        ("isv.SMS_TEMPLATE_ILLEGAL", 200, "sms.aliyun.template_code"),
        ("isv.TEMPLATE_MISSING_PARAMETERS", 200, "template_param"),
        ("isv.BLACK_KEY_CONTROL_LIMIT", 200, "template_param"),
        ("isv.DAY_LIMIT_CONTROL", 200, "the account's limit for a day"),
        ("Throttling.User", 429, "too many calls"),
        ("nobody.THOUGHT_OF_THIS", 503, "look the code up"),
    ],
)
async def test_what_stops_every_login_is_an_error_with_a_hint(aliyun: Wire, code: str, status: int, hint: str) -> None:
    aliyun.provider.reply = sent(code, "its own words", status)
    with pytest.raises(ServiceUnavailable):
        await aliyun.send()
    [line] = aliyun.log
    assert (line["log_level"], line["provider"], line["provider_code"]) == ("error", "aliyun", code)
    assert (line["message"], line["request_id"]) == ("its own words", "a-request")
    assert hint in line["hint"]


async def test_a_wrong_key_is_refused() -> None:
    async with wired(aliyun_wire, access_key_secret="another key") as wire:
        with pytest.raises(ServiceUnavailable):
            await wire.send()
    assert (wire.levels, wire.log[0]["provider_code"]) == (["error"], "SignatureDoesNotMatch")


UNCLEAR = {
    "an error page": saying("<html>", 500),
    "an OK with another status": sent("OK", "OK", 502),
    "no JSON": saying("OK"),
    "half of it": saying('{"Code": "O'),
    "nothing": saying(""),
    "a list": saying([]),
    "no Code": saying({"Message": "OK"}),
    "a Code that is no text": saying({"Code": 200}),
    "another encoding": saying("{}", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR)
async def test_an_answer_that_does_not_say_ok_is_no_success(aliyun: Wire, reply: Reply) -> None:
    aliyun.provider.reply = reply
    with pytest.raises(ServiceUnavailable):
        await aliyun.send()
    assert (aliyun.levels, len(aliyun.provider.received)) == (["error"], 1)
    assert "may have been sent" in aliyun.log[0]["event"]


async def test_what_an_ok_leaves_out_or_adds_does_not_matter(aliyun: Wire) -> None:
    aliyun.provider.reply = saying({"Code": "OK", "Message": None, "Fresh": 1})
    await aliyun.send()
    assert aliyun.log == []
