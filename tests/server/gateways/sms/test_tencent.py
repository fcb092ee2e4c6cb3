"""Tencent Cloud's SendSms over the vendor's SDK, against a provider that checks every signature."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from aiohttp import web

from actors.errors import DomainError, PhoneRefused, ServiceUnavailable, TooManyCodesForPhone
from server.gateways.sms.tencent.sender import Tencent
from tests.server.gateways.sms import tencent_wire
from tests.server.gateways.sms.provider import Reply, saying
from tests.server.gateways.sms.tencent_wire import failed, sent
from tests.server.gateways.sms.wire import TIMEOUT_SECONDS, Wire, wired

# What the SDK of this version does, and newer Pythons warn of.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")


async def test_a_message_arrives_with_its_parameters(tencent: Wire) -> None:
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


async def test_the_template_has_the_parameters_that_are_set() -> None:
    async with wired(tencent_wire, template_params=["暗房", "{code}", "{minutes} 分钟"]) as wire:
        await wire.send()
    assert json.loads(wire.provider.received[0].body)["TemplateParamSet"] == ["暗房", "271828", "5 分钟"]


async def test_a_template_may_be_without_parameters() -> None:
    async with wired(tencent_wire, template_params=[]) as wire:
        await wire.send()
    assert json.loads(wire.provider.received[0].body)["TemplateParamSet"] == []


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
async def test_one_phones_trouble_is_told_to_its_owner(tencent: Wire, code: str, error: DomainError) -> None:
    tencent.provider.reply = sent(code)
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
async def test_what_stops_every_login_is_an_error_with_a_hint(tencent: Wire, code: str, hint: str) -> None:
    tencent.provider.reply = sent(code, "its own words")
    with pytest.raises(ServiceUnavailable):
        await tencent.send()
    [line] = tencent.log
    assert (line["log_level"], line["provider"], line["provider_code"]) == ("error", "tencent", code)
    assert (line["message"], line["request_id"]) == ("its own words", "a-request")
    assert hint in line["hint"]


async def test_a_wrong_key_is_refused_by_the_call_itself() -> None:
    async with wired(tencent_wire, secret_key="another key") as wire:
        with pytest.raises(ServiceUnavailable):
            await wire.send()
    [line] = wire.log
    assert (line["log_level"], line["provider_code"]) == ("error", "AuthFailure.SignatureFailure")
    assert "sms.tencent.secret_id" in line["hint"]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/html"])
async def test_a_refused_call_is_one_under_any_content_type(tencent: Wire, content_type: str) -> None:
    refusal = failed("InvalidParameterValue.IncorrectPhoneNumber", "号码 13800138000")
    tencent.provider.reply = saying(json.dumps(refusal), headers={"Content-Type": content_type})
    with pytest.raises(PhoneRefused):
        await tencent.send()
    assert tencent.log[0]["message"] == "号码 138****8000"


async def test_each_item_must_be_ok(tencent: Wire) -> None:
    items = [{"Code": "Ok"}, {"Code": "FailedOperation.PhoneNumberInBlacklist"}]
    tencent.provider.reply = saying({"Response": {"SendStatusSet": items}})
    with pytest.raises(PhoneRefused):
        await tencent.send()


UNCLEAR = {
    "an error page": saying("<html>", 500),
    "an answer with another status": saying({"Response": {"SendStatusSet": [{"Code": "Ok"}]}}, 502),
    "no JSON": saying("Ok"),
    "half of it": saying('{"Response": {"SendStatusSet": [{"Code": "O'),
    "nothing": saying(""),
    "a list": saying([]),
    "null": saying(None),
    "no Response": saying({}),
    "a Response of text": saying({"Response": "Ok"}),
    "no items": saying({"Response": {"RequestId": "a-request"}}),
    "an empty list of items": saying({"Response": {"SendStatusSet": []}}),
    "an item of text": saying({"Response": {"SendStatusSet": ["Ok"]}}),
    "an item without a Code": saying({"Response": {"SendStatusSet": [{"Message": "send success"}]}}),
    "an Error of text": saying({"Response": {"Error": "Code"}}),
    "an Error without a Code": saying({"Response": {"Error": {}, "SendStatusSet": [{"Code": "Ok"}]}}),
    "an event stream": saying("data: Ok\n\n", headers={"Content-Type": "text/event-stream"}),
    "lists in lists": saying("[" * 100_000),
    "another encoding": saying('{"Response": {}}', headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR)
async def test_an_answer_that_does_not_say_ok_is_no_success(tencent: Wire, reply: Reply) -> None:
    tencent.provider.reply = reply
    with pytest.raises(ServiceUnavailable):
        await tencent.send()
    assert (tencent.levels, len(tencent.provider.received)) == (["error"], 1)
    assert "may have been sent" in tencent.log[0]["event"]


async def test_an_answer_without_a_content_type_holds_no_connection(tencent: Wire) -> None:
    """The SDK itself would leave it open, and the next message would wait for its place."""
    let_go = asyncio.Event()

    async def untyped(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        try:
            await asyncio.Event().wait()  # until the other side hangs up, which cancels this
        finally:
            let_go.set()
        return web.Response()

    tencent.provider.reply = untyped
    with pytest.raises(ServiceUnavailable):
        await tencent.send()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await let_go.wait()


async def test_what_an_ok_leaves_out_or_adds_does_not_matter(tencent: Wire) -> None:
    item = {"Code": "Ok", "Message": None, "Fresh": [1]}
    tencent.provider.reply = saying({"Response": {"SendStatusSet": [item], "Fresh": 1}})
    await tencent.send()
    assert tencent.log == []


async def test_a_closed_sender_has_let_go_of_its_client(tencent: Wire) -> None:
    await tencent.send()
    await tencent.sender.close()
    assert isinstance(tencent.sender, Tencent)
    client = tencent.sender._client.http_client
    assert isinstance(client, httpx.AsyncClient)
    assert client.is_closed
