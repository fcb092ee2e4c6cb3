"""The SMS sender of Alibaba Cloud: SendSms, version 2017-05-25, without the vendor's SDK (docs/decisions/0013).

https://help.aliyun.com/zh/sms/developer-reference/api-dysmsapi-2017-05-25-sendsms
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal
from yarl import URL

from server.gateways.sms.aliyun.acs3 import EMPTY_BODY_SHA256, SignedRequest
from server.gateways.sms.aliyun.codes import refusal
from server.gateways.sms.aliyun.settings import AliyunSettings
from server.gateways.sms.delivery import TOTAL_SECONDS, LoginCodeMessage, OutcomeUnknown, ProviderRefusal, deliver
from server.gateways.sms.http_client import HttpClient, ProviderResponse


class _Status(BaseModel):
    """The status of the call. Fields that only the log needs accept any type."""

    model_config = ConfigDict(alias_generator=to_pascal)

    code: str
    message: object = ""
    request_id: object = ""


class Aliyun:
    """An SmsSender. `seconds` limits one message, its second attempt included."""

    def __init__(self, settings: AliyunSettings, seconds: float = TOTAL_SECONDS) -> None:
        self._settings, self._seconds, self._http = settings, seconds, HttpClient()

    async def send(self, phone: str, code: str, minutes: int) -> None:
        await deliver("aliyun", LoginCodeMessage(phone, code, minutes), self._attempt, self._seconds)

    async def close(self) -> None:
        await self._http.close()

    async def _attempt(self, message: LoginCodeMessage) -> ProviderRefusal | None:
        request = self._request(message)
        url = URL(f"{self._settings.endpoint}/?{request.canonical_query}", encoded=True)
        key_id, key_secret = self._settings.access_key_id, self._settings.access_key_secret.get_secret_value()
        authorization = request.authorization(key_id, key_secret)
        status = _read(await self._http.post(url, {**request.headers, "Authorization": authorization}))
        if status.code == "OK":
            return None
        return refusal(status.code, str(status.message), str(status.request_id))

    def _request(self, message: LoginCodeMessage) -> SignedRequest:
        parameters = {name: message.fill(text) for name, text in self._settings.template_param.items()}
        return SignedRequest(
            query={
                "PhoneNumbers": message.phone,
                "SignName": self._settings.sign_name,
                "TemplateCode": self._settings.template_code,
                "TemplateParam": json.dumps(parameters, ensure_ascii=False),
            },
            headers={
                "accept": "application/json",
                "host": urlsplit(self._settings.endpoint).netloc,
                "x-acs-action": "SendSms",
                "x-acs-version": "2017-05-25",
                "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "x-acs-signature-nonce": secrets.token_hex(16),
                "x-acs-content-sha256": EMPTY_BODY_SHA256,
            },
        )


def _read(response: ProviderResponse) -> _Status:
    """Parse a response: a refusal may have any HTTP status, OK only 200. Raises OutcomeUnknown."""
    try:
        status = _Status.model_validate_json(response.body)
    except ValidationError:
        raise OutcomeUnknown(f"HTTP {response.status} without a Code in JSON") from None
    if status.code == "OK" and response.status != 200:
        raise OutcomeUnknown(f"HTTP {response.status} with the Code OK")
    return status
