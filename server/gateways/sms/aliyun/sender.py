"""Alibaba Cloud's SMS: SendSms, version 2017-05-25, without the vendor's SDK (docs/decisions/0013).

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

from server.gateways.sms.aliyun.acs3 import EMPTY, Request
from server.gateways.sms.aliyun.codes import refusal
from server.gateways.sms.delivery import SECONDS, Message, NoAnswer, Refusal, deliver
from server.gateways.sms.http_client import Answer, Poster
from server.settings.model import AliyunSms


class _Said(BaseModel):
    """What is not needed cannot make an answer unreadable."""

    model_config = ConfigDict(alias_generator=to_pascal)

    code: str
    message: object = ""
    request_id: object = ""


class Aliyun:
    """An SmsSender. `seconds` are for a message with its second attempt."""

    def __init__(self, settings: AliyunSms, seconds: float = SECONDS) -> None:
        self._settings, self._seconds, self._poster = settings, seconds, Poster()

    async def send(self, phone: str, code: str, minutes: int) -> None:
        await deliver("aliyun", Message(phone, code, minutes), self._attempt, self._seconds)

    async def close(self) -> None:
        await self._poster.close()

    async def _attempt(self, message: Message) -> Refusal | None:
        request = self._request(message)
        url = URL(f"{self._settings.endpoint}/?{request.canonical_query}", encoded=True)
        key_id, key_secret = self._settings.access_key_id, self._settings.access_key_secret.get_secret_value()
        authorization = request.authorization(key_id, key_secret)
        said = _read(await self._poster.post(url, {**request.headers, "Authorization": authorization}))
        if said.code == "OK":
            return None
        return refusal(said.code, str(said.message), str(said.request_id))

    def _request(self, message: Message) -> Request:
        parameters = {name: message.fill(text) for name, text in self._settings.template_param.items()}
        return Request(
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
                "x-acs-content-sha256": EMPTY,
            },
        )


def _read(answer: Answer) -> _Said:
    """Refusals come with any status, and OK with 200 only. Raises NoAnswer."""
    try:
        said = _Said.model_validate_json(answer.body)
    except ValidationError:
        raise NoAnswer(f"HTTP {answer.status} without a Code in JSON") from None
    if said.code == "OK" and answer.status != 200:
        raise NoAnswer(f"HTTP {answer.status} with the Code OK")
    return said
