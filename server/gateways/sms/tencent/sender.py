"""The SMS sender of Tencent Cloud: SendSms, version 2021-01-11, through the vendor's SDK.

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
    TOTAL_SECONDS,
    LoginCodeMessage,
    NotConnected,
    OutcomeUnknown,
    ProviderRefusal,
    deliver,
)
from server.gateways.sms.http_client import MAX_RESPONSE_BYTES
from server.gateways.sms.tencent.codes import refusal
from server.gateways.sms.tencent.settings import TencentSettings


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_pascal)


class _Status(_Model):
    """The status of the call or of one phone.

    Fields that only the log needs accept any type, so that they cannot make a response unreadable.
    """

    code: str
    message: object = ""


class _Response(_Model):
    error: _Status | None = None
    send_status_set: list[_Status] = []
    request_id: object = ""


class _Envelope(_Model):
    response: _Response


class Tencent:
    """An SmsSender. `seconds` limits one message, its second attempt included."""

    def __init__(self, settings: TencentSettings, seconds: float = TOTAL_SECONDS) -> None:
        _silence_libraries()
        self._settings, self._seconds = settings, seconds
        self._client = _client(settings)

    async def send(self, phone: str, code: str, minutes: int) -> None:
        await deliver("tencent", LoginCodeMessage(phone, code, minutes), self._attempt, self._seconds)

    async def close(self) -> None:
        await self._client.close()

    async def _attempt(self, message: LoginCodeMessage) -> ProviderRefusal | None:
        try:
            # Parsed as a dict, because the SDK's own model ignores an Error whose content type has a charset.
            response: object = await self._client.call_and_deserialize("SendSms", self._parameters(message), dict)
        except TencentCloudSDKException as fault:
            return refusal(str(fault.code), str(fault.message), str(fault.requestId))
        except (httpx.ConnectError, httpx.ConnectTimeout) as fault:
            raise NotConnected(f"{type(fault).__name__}: {fault}") from None
        except httpx.HTTPError as fault:
            raise OutcomeUnknown(f"{type(fault).__name__}: {fault}") from None
        except (ValueError, LookupError, TypeError, RecursionError) as fault:
            # The SDK expects every response to be one of the provider's and fails on any other.
            raise OutcomeUnknown(f"the response is not one of SendSms ({type(fault).__name__})") from None
        return _read(response)

    def _parameters(self, message: LoginCodeMessage) -> dict[str, object]:
        return {
            "PhoneNumberSet": [f"+86{message.phone}"],
            "SmsSdkAppId": self._settings.app_id,
            "SignName": self._settings.sign_name,
            "TemplateId": self._settings.template_id,
            "TemplateParamSet": [message.fill(text) for text in self._settings.template_params],
        }


def _silence_libraries() -> None:
    """Raise the log levels: at DEBUG the SDK logs requests with phone and code, at INFO httpx logs URLs."""
    for name in ("tencentcloud_sdk_common", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _client(settings: TencentSettings) -> SmsClient:
    """Create the SDK's client with our own HTTP client: the SDK's has one time limit and obeys proxy variables."""
    endpoint = urlsplit(settings.endpoint)
    profile = ClientProfile(httpProfile=HttpProfile(protocol=endpoint.scheme, endpoint=endpoint.netloc))
    credential = Credential(settings.secret_id, settings.secret_key.get_secret_value())
    client = SmsClient(credential, settings.region, profile)
    client.http_client = httpx.AsyncClient(
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),  # delivery.py limits the whole request
        trust_env=False,
        transport=_Transport(),
        event_hooks={"response": [_read_response]},
    )
    return client


class _Transport(httpx.AsyncHTTPTransport):
    """Limits the length of responses. Raises OutcomeUnknown while a longer one is read."""

    def __init__(self) -> None:
        super().__init__(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))  # see http_client.py

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Bounded(response.stream)
        return response


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        remaining = MAX_RESPONSE_BYTES
        async for part in self._stream:
            remaining -= len(part)
            if remaining < 0:
                raise OutcomeUnknown(f"the response has more than {MAX_RESPONSE_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _read_response(response: httpx.Response) -> None:
    """Read the whole response, because the SDK never closes one without Content-Type. Raises OutcomeUnknown."""
    await response.aread()
    if response.status_code != 200:
        raise OutcomeUnknown(f"HTTP {response.status_code}, although the provider answers even refusals with 200")


def _read(content: object) -> ProviderRefusal | None:
    """Return the refusal of the call or of the message, or None for success. Raises OutcomeUnknown."""
    try:
        response = _Envelope.model_validate(content).response
    except ValidationError:
        raise OutcomeUnknown("the response is not one of SendSms") from None
    statuses = [response.error] if response.error is not None else response.send_status_set
    if not statuses:
        raise OutcomeUnknown("the response has no status of the message")
    refused = next((status for status in statuses if status.code != "Ok"), None)
    return None if refused is None else refusal(refused.code, str(refused.message), str(response.request_id))
