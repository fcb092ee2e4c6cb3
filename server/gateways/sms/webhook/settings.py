"""The settings of the webhook that hands login codes to the operator's own receiver."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import ClassVar

from pydantic import SecretStr

from actors.settings import Problem
from server.gateways.setting_types import Secret, WebUrl
from server.gateways.sms.sender_settings import SenderSettings, encryption_problems
from server.gateways.sms.webhook.signature import signing_key


class WebhookSettings(SenderSettings):
    """The section `[sms.webhook]`. `secret` signs the requests to `url`."""

    required: ClassVar = ("url", "secret")

    url: WebUrl = ""
    secret: Secret = SecretStr("")

    def problems(self) -> Iterator[Problem]:
        yield from super().problems()
        try:
            signing_key(self.secret.get_secret_value())
        except binascii.Error:
            yield "secret", 'must have base64 after "whsec_"'

    def production_problems(self) -> Iterator[Problem]:
        yield from encryption_problems("url", self.url)
