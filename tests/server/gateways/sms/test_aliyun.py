"""The sender of Alibaba Cloud against a provider that checks every signature."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest

from actors.errors import DomainError, PhoneRefused, ServiceUnavailable, TooManyCodesForPhone
from server.gateways.sms.aliyun.acs3 import EMPTY_BODY_SHA256, SignedRequest
from tests.server.gateways.sms import aliyun_provider
from tests.server.gateways.sms.aliyun_provider import status_response
from tests.server.gateways.sms.connected_sender import ConnectedSender, connected_sender
from tests.server.gateways.sms.fake_provider import ReceivedRequest, Reply, respond_with


def parameters(received: ReceivedRequest) -> dict[str, str]:
    return dict(parse_qsl(received.query, strict_parsing=True))


def test_the_signature_matches_the_example_of_the_documentation() -> None:
    """https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature, "Fixed values"."""
    request = SignedRequest(
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


async def test_a_message_arrives_with_its_parameters(aliyun: ConnectedSender) -> None:
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


async def test_the_template_gets_the_configured_parameters() -> None:
    wanted = {"code": "{code}", "product": "暗房", "time": "{minutes}"}
    async with connected_sender(aliyun_provider, template_param=wanted) as sms:
        await sms.send()
    filled = json.loads(parameters(sms.provider.received[0])["TemplateParam"])
    assert filled == {"code": "271828", "product": "暗房", "time": "5"}


async def test_no_two_requests_have_the_same_nonce(aliyun: ConnectedSender) -> None:
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
async def test_a_problem_of_one_phone_is_reported_to_its_user(
    aliyun: ConnectedSender, code: str, message: str, error: DomainError
) -> None:
    aliyun.provider.reply = status_response(code, message)
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
async def test_a_problem_of_all_logins_is_an_error_with_a_hint(
    aliyun: ConnectedSender, code: str, status: int, hint: str
) -> None:
    aliyun.provider.reply = status_response(code, "its own words", status)
    with pytest.raises(ServiceUnavailable):
        await aliyun.send()
    [line] = aliyun.log
    assert (line["log_level"], line["provider"], line["provider_code"]) == ("error", "aliyun", code)
    assert (line["message"], line["request_id"]) == ("its own words", "a-request")
    assert hint in line["hint"]


async def test_a_wrong_key_is_refused() -> None:
    async with connected_sender(aliyun_provider, access_key_secret="another key") as sms:
        with pytest.raises(ServiceUnavailable):
            await sms.send()
    assert (sms.levels, sms.log[0]["provider_code"]) == (["error"], "SignatureDoesNotMatch")


UNCLEAR = {
    "an error page": respond_with("<html>", 500),
    "an OK with another status": status_response("OK", "OK", 502),
    "no JSON": respond_with("OK"),
    "half of it": respond_with('{"Code": "O'),
    "nothing": respond_with(""),
    "a list": respond_with([]),
    "no Code": respond_with({"Message": "OK"}),
    "a Code that is no text": respond_with({"Code": 200}),
    "another encoding": respond_with("{}", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR)
async def test_an_unclear_response_is_no_success(aliyun: ConnectedSender, reply: Reply) -> None:
    aliyun.provider.reply = reply
    with pytest.raises(ServiceUnavailable):
        await aliyun.send()
    assert (aliyun.levels, len(aliyun.provider.received)) == (["error"], 1)
    assert "may have been sent" in aliyun.log[0]["event"]


async def test_missing_and_new_fields_of_a_success_are_ignored(aliyun: ConnectedSender) -> None:
    aliyun.provider.reply = respond_with({"Code": "OK", "Message": None, "Fresh": 1})
    await aliyun.send()
    assert aliyun.log == []
