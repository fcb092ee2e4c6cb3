"""The sender of Tencent Cloud, over the vendor's SDK, against a provider that checks every signature."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from aiohttp import web

from actors.errors import DomainError, PhoneRefused, ServiceUnavailable, TooManyCodesForPhone
from server.gateways.sms.tencent.sender import Tencent
from tests.server.gateways.sms import tencent_provider
from tests.server.gateways.sms.connected_sender import TIMEOUT_SECONDS, ConnectedSender, connected_sender
from tests.server.gateways.sms.fake_provider import Reply, respond_with
from tests.server.gateways.sms.tencent_provider import error_body, status_response

# The SDK uses a function that newer versions of Python deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")


async def test_a_message_arrives_with_its_parameters(tencent: ConnectedSender) -> None:
    await tencent.send()
    [received] = tencent.provider.received
    assert (received.method, received.headers["content-type"]) == ("POST", "application/json")
    assert json.loads(received.body) == {
        "PhoneNumberSet": ["+8613800138000"],
        "SmsSdkAppId": "1400006666",
        "SignName": "暗房",
        "TemplateId": "1110",
        "TemplateParamSet": ["271828", "5"],
    }


async def test_the_template_gets_the_configured_parameters() -> None:
    async with connected_sender(tencent_provider, template_params=["暗房", "{code}", "{minutes} 分钟"]) as sms:
        await sms.send()
    assert json.loads(sms.provider.received[0].body)["TemplateParamSet"] == ["暗房", "271828", "5 分钟"]


async def test_a_template_may_have_no_parameters() -> None:
    async with connected_sender(tencent_provider, template_params=[]) as sms:
        await sms.send()
    assert json.loads(sms.provider.received[0].body)["TemplateParamSet"] == []


REFUSALS = {
    "FailedOperation.PhoneNumberInBlacklist": PhoneRefused(),
    "FailedOperation.PhoneNumberParseFail": PhoneRefused(),
    "InvalidParameterValue.IncorrectPhoneNumber": PhoneRefused(),
    "LimitExceeded.PhoneNumberThirtySecondLimit": TooManyCodesForPhone(limit=1, retry_after=30),
    "LimitExceeded.PhoneNumberOneHourLimit": TooManyCodesForPhone(limit=1, retry_after=3600),
    "LimitExceeded.PhoneNumberDailyLimit": TooManyCodesForPhone(limit=1, retry_after=86400),
    "LimitExceeded.PhoneNumberSameContentDailyLimit": TooManyCodesForPhone(limit=1, retry_after=86400),
}


@pytest.mark.parametrize(("code", "error"), REFUSALS.items(), ids=REFUSALS)
async def test_a_problem_of_one_phone_is_reported_to_its_user(
    tencent: ConnectedSender, code: str, error: DomainError
) -> None:
    tencent.provider.reply = status_response(code)
    with pytest.raises(type(error)) as caught:
        await tencent.send()
    assert (caught.value.facts, tencent.levels) == (error.facts, ["warning"])


HINTS = {
    "FailedOperation.InsufficientBalanceInSmsPackage": "buy messages",
    "FailedOperation.SignatureIncorrectOrUnapproved": "sms.tencent.sign_name",
    "FailedOperation.TemplateIncorrectOrUnapproved": "sms.tencent.template_id",
    "InvalidParameterValue.TemplateParameterFormatError": "template_params",
    "InvalidParameterValue.SdkAppIdNotExist": "sms.tencent.app_id",
    "UnauthorizedOperation.SmsSdkAppIdVerifyFail": "sms.tencent.app_id",
    "UnauthorizedOperation.ServiceSuspendDueToArrears": "debts",
    "LimitExceeded.AppDailyLimit": "the account's limit",
    "UnsupportedOperation.GlobalTemplateToChineseMainlandPhone": "mainland China",
    "NobodyThought.OfThis": "look the code up",
}


@pytest.mark.parametrize(("code", "hint"), HINTS.items(), ids=HINTS)
async def test_a_problem_of_all_logins_is_an_error_with_a_hint(tencent: ConnectedSender, code: str, hint: str) -> None:
    tencent.provider.reply = status_response(code, "its own words")
    with pytest.raises(ServiceUnavailable):
        await tencent.send()
    [line] = tencent.log
    assert (line["log_level"], line["provider"], line["provider_code"]) == ("error", "tencent", code)
    assert (line["message"], line["request_id"]) == ("its own words", "a-request")
    assert hint in line["hint"]


async def test_a_wrong_key_is_refused() -> None:
    async with connected_sender(tencent_provider, secret_key="another key") as sms:
        with pytest.raises(ServiceUnavailable):
            await sms.send()
    [line] = sms.log
    assert (line["log_level"], line["provider_code"]) == ("error", "AuthFailure.SignatureFailure")
    assert "sms.tencent.secret_id" in line["hint"]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/html"])
async def test_a_refusal_is_recognized_under_any_content_type(tencent: ConnectedSender, content_type: str) -> None:
    refusal = error_body("InvalidParameterValue.IncorrectPhoneNumber", "号码 13800138000")
    tencent.provider.reply = respond_with(json.dumps(refusal), headers={"Content-Type": content_type})
    with pytest.raises(PhoneRefused):
        await tencent.send()
    assert tencent.log[0]["message"] == "号码 138****8000"


async def test_every_status_must_be_ok(tencent: ConnectedSender) -> None:
    items = [{"Code": "Ok"}, {"Code": "FailedOperation.PhoneNumberInBlacklist"}]
    tencent.provider.reply = respond_with({"Response": {"SendStatusSet": items}})
    with pytest.raises(PhoneRefused):
        await tencent.send()


UNCLEAR = {
    "an error page": respond_with("<html>", 500),
    "an answer with another status": respond_with({"Response": {"SendStatusSet": [{"Code": "Ok"}]}}, 502),
    "no JSON": respond_with("Ok"),
    "half of it": respond_with('{"Response": {"SendStatusSet": [{"Code": "O'),
    "nothing": respond_with(""),
    "a list": respond_with([]),
    "null": respond_with(None),
    "no Response": respond_with({}),
    "a Response of text": respond_with({"Response": "Ok"}),
    "no items": respond_with({"Response": {"RequestId": "a-request"}}),
    "an empty list of items": respond_with({"Response": {"SendStatusSet": []}}),
    "an item of text": respond_with({"Response": {"SendStatusSet": ["Ok"]}}),
    "an item without a Code": respond_with({"Response": {"SendStatusSet": [{"Message": "send success"}]}}),
    "an Error of text": respond_with({"Response": {"Error": "Code"}}),
    "an Error without a Code": respond_with({"Response": {"Error": {}, "SendStatusSet": [{"Code": "Ok"}]}}),
    "an event stream": respond_with("data: Ok\n\n", headers={"Content-Type": "text/event-stream"}),
    "lists in lists": respond_with("[" * 100_000),
    "another encoding": respond_with('{"Response": {}}', headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR)
async def test_an_unclear_response_is_no_success(tencent: ConnectedSender, reply: Reply) -> None:
    tencent.provider.reply = reply
    with pytest.raises(ServiceUnavailable):
        await tencent.send()
    assert (tencent.levels, len(tencent.provider.received)) == (["error"], 1)
    assert "may have been sent" in tencent.log[0]["event"]


async def test_a_response_without_content_type_keeps_no_connection(tencent: ConnectedSender) -> None:
    """The SDK itself would leave it open, and later messages would wait for a free connection."""
    let_go = asyncio.Event()

    async def untyped(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        try:
            await asyncio.Event().wait()  # until the client disconnects, which cancels this handler
        finally:
            let_go.set()
        return web.Response()

    tencent.provider.reply = untyped
    with pytest.raises(ServiceUnavailable):
        await tencent.send()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await let_go.wait()


async def test_missing_and_new_fields_of_a_success_are_ignored(tencent: ConnectedSender) -> None:
    item = {"Code": "Ok", "Message": None, "Fresh": [1]}
    tencent.provider.reply = respond_with({"Response": {"SendStatusSet": [item], "Fresh": 1}})
    await tencent.send()
    assert tencent.log == []


async def test_closing_the_sender_closes_its_client(tencent: ConnectedSender) -> None:
    await tencent.send()
    await tencent.sender.close()
    assert isinstance(tencent.sender, Tencent)
    client = tencent.sender._client.http_client
    assert isinstance(client, httpx.AsyncClient)
    assert client.is_closed
