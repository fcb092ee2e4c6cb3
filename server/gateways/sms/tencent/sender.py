"""Tencent Cloud's SMS: SendSms, version 2021-01-11, over the vendor's SDK.

https://cloud.tencent.com/document/api/382/55981
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sms.v20210111.sms_client_async import SmsClient

from server.gateways.sms.delivery import (
    CONNECT_SECONDS,
    SECONDS,
    Message,
    NoAnswer,
    NotConnected,
    Refusal,
    deliver,
)
from server.gateways.sms.http_client import ANSWER_BYTES
from server.gateways.sms.tencent.codes import refusal
from server.settings.model import TencentSms


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_pascal)


class _Said(_Model):
    """About the call or about one phone. What is not needed cannot make an answer unreadable."""

    code: str
    message: object = ""


class _Response(_Model):
    error: _Said | None = None
    send_status_set: list[_Said] = []
    request_id: object = ""


class _Answer(_Model):
    response: _Response


class Tencent:
    """An SmsSender. `seconds` are for a message with its second attempt."""

    def __init__(self, settings: TencentSms, seconds: float = SECONDS) -> None:
        _quieten()
        self._settings, self._seconds = settings, seconds
        self._client = _client(settings)

    async def send(self, phone: str, code: str, minutes: int) -> None:
        await deliver("tencent", Message(phone, code, minutes), self._attempt, self._seconds)

    async def close(self) -> None:
        await self._client.close()

    async def _attempt(self, message: Message) -> Refusal | None:
        try:
            # As a dict: the SDK's own model passes over an Error that comes as "application/json; charset=utf-8".
            answer: object = await self._client.call_and_deserialize("SendSms", self._parameters(message), dict)
        except TencentCloudSDKException as error:
            return refusal(str(error.code), str(error.message), str(error.requestId))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotConnected(f"{type(error).__name__}: {error}") from None
        except httpx.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from None
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            # The SDK takes every answer for one of the provider's, and stumbles over any other.
            raise NoAnswer(f"the answer is not one of SendSms ({type(error).__name__})") from None
        return _read(answer)

    def _parameters(self, message: Message) -> dict[str, object]:
        return {
            "PhoneNumberSet": [f"+86{message.phone}"],
            "SmsSdkAppId": self._settings.app_id,
            "SignName": self._settings.sign_name,
            "TemplateId": self._settings.template_id,
            "TemplateParamSet": [message.fill(text) for text in self._settings.template_params],
        }


def _quieten() -> None:
    """At DEBUG the SDK logs each request with phone and code in it, and at INFO httpx each address."""
    for name in ("tencentcloud_sdk_common", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _client(settings: TencentSms) -> SmsClient:
    """With an HTTP client of our own: the SDK's has one time-out for all, and heeds the environment's proxies."""
    endpoint = urlsplit(settings.endpoint)
    profile = ClientProfile(httpProfile=HttpProfile(protocol=endpoint.scheme, endpoint=endpoint.netloc))
    credential = Credential(settings.secret_id, settings.secret_key.get_secret_value())
    client = SmsClient(credential, settings.region, profile)
    client.http_client = httpx.AsyncClient(
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),  # the whole has a limit in delivery.py
        trust_env=False,
        transport=_Transport(),
        event_hooks={"response": [_take_whole]},
    )
    return client


class _Transport(httpx.AsyncHTTPTransport):
    """Answers that end: one that is longer than any of the provider's is none. Raises NoAnswer while it is read."""

    def __init__(self) -> None:
        super().__init__(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))  # see post.py

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Bounded(response.stream)
        return response


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = ANSWER_BYTES
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise NoAnswer(f"an answer of more than {ANSWER_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _take_whole(response: httpx.Response) -> None:
    """The SDK opens answers as streams, and leaves one that has no Content-Type open. Raises NoAnswer."""
    await response.aread()
    if response.status_code != 200:
        raise NoAnswer(f"HTTP {response.status_code}, where even a refusal comes with 200")


def _read(answer: object) -> Refusal | None:
    """The call may succeed and the message fail: each of its items says. Raises NoAnswer."""
    try:
        response = _Answer.model_validate(answer).response
    except ValidationError:
        raise NoAnswer("the answer is not one of SendSms") from None
    said = [response.error] if response.error is not None else response.send_status_set
    if not said:
        raise NoAnswer("the answer says nothing about the message")
    refused = next((item for item in said if item.code != "Ok"), None)
    return None if refused is None else refusal(refused.code, str(refused.message), str(response.request_id))
