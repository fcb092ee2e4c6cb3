"""The settings of Alibaba Cloud's SMS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import SecretStr

from actors.settings import Problem
from server.gateways.setting_types import BaseUrl
from server.gateways.sms.sender_settings import MessageTemplate, SenderSettings, encryption_problems, endpoint_problems


class AliyunSettings(SenderSettings):
    """The section `[sms.aliyun]`. `template_param` fills the template's variables by name."""

    required: ClassVar = ("access_key_id", "access_key_secret", "sign_name", "template_code", "endpoint")

    access_key_id: str = ""
    access_key_secret: SecretStr = SecretStr("")
    sign_name: str = ""
    template_code: str = ""
    template_param: dict[str, MessageTemplate] = {"code": "{code}"}
    endpoint: BaseUrl = "https://dysmsapi.aliyuncs.com"

    def problems(self) -> Iterator[Problem]:
        yield from super().problems()
        yield from endpoint_problems(self.endpoint)

    def production_problems(self) -> Iterator[Problem]:
        yield from encryption_problems("endpoint", self.endpoint)
