"""The settings of SMS: which sender is used, and the section of each sender.

A new sender is a package beside these, one more name in `sender`, one more field, and a case in factory.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from actors.settings import Problem, Section
from server.gateways.sms.aliyun.settings import AliyunSettings
from server.gateways.sms.sender_settings import SenderSettings
from server.gateways.sms.tencent.settings import TencentSettings
from server.gateways.sms.webhook.settings import WebhookSettings

SANDBOX_NAMES = ("", "sandbox")  # values of `sender` that mean the sandbox


class SmsSettings(Section):
    """The section `[sms]`.

    An empty `sender` means the sandbox in development; production requires a real sender.
    """

    sender: Literal["", "sandbox", "tencent", "aliyun", "webhook"] = ""
    tencent: TencentSettings = TencentSettings()
    aliyun: AliyunSettings = AliyunSettings()
    webhook: WebhookSettings = WebhookSettings()

    def problems(self) -> Iterator[Problem]:
        if self._sender_settings is not None:
            yield from self._with_prefix(self._sender_settings.problems())

    def production_problems(self) -> Iterator[Problem]:
        if self.sender == "":
            yield "sender", 'is empty, so users could not log in; choose "tencent", "aliyun" or "webhook"'
        elif self.sender == "sandbox":
            yield (
                "sender",
                'is the sandbox, which shows all login codes to every caller; choose "tencent", "aliyun" or "webhook"',
            )
        elif self._sender_settings is not None:
            yield from self._with_prefix(self._sender_settings.production_problems())

    @property
    def _sender_settings(self) -> SenderSettings | None:
        if self.sender in SANDBOX_NAMES:
            return None
        settings = getattr(self, self.sender)
        assert isinstance(settings, SenderSettings), "each sender has a field of its own name"
        return settings

    def _with_prefix(self, problems: Iterator[Problem]) -> Iterator[Problem]:
        for key, problem in problems:
            # A problem without a key is one of the sender itself. Reported under `sender`, it does not get lost when
            # the sender's section has an invalid value.
            yield (f"{self.sender}.{key}", problem) if key else ("sender", f'"{self.sender}" {problem}')
