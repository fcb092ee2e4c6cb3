"""The settings of Tencent Cloud's SMS."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import ClassVar

from pydantic import SecretStr

from actors.settings import Problem
from server.gateways.setting_types import BaseUrl
from server.gateways.sms.sender_settings import MessageTemplate, SenderSettings, encryption_problems, endpoint_problems

# A package stands before its parts, because looking for a part imports the package.
_SDK_MODULES = ("httpx", "tencentcloud", "tencentcloud.sms")


class TencentSettings(SenderSettings):
    """The section `[sms.tencent]`. `template_params` fill the template's {1}, {2} … in this order."""

    required: ClassVar = ("secret_id", "secret_key", "app_id", "sign_name", "template_id", "region", "endpoint")

    secret_id: str = ""
    secret_key: SecretStr = SecretStr("")
    app_id: str = ""
    sign_name: str = ""
    template_id: str = ""
    template_params: list[MessageTemplate] = ["{code}", "{minutes}"]
    region: str = "ap-guangzhou"
    endpoint: BaseUrl = "https://sms.tencentcloudapi.com"

    def problems(self) -> Iterator[Problem]:
        yield from super().problems()
        yield from endpoint_problems(self.endpoint)
        if not all(importlib.util.find_spec(name) is not None for name in _SDK_MODULES):
            yield "", 'needs the Tencent SDK, which is not installed: pip install "darkroom[tencent]"'

    def production_problems(self) -> Iterator[Problem]:
        yield from encryption_problems("endpoint", self.endpoint)
