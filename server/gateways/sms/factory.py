"""Creating the SMS sender that the settings choose.

A sender's module is imported when it is chosen: it may need an optional dependency, and commands that send nothing
should not pay for its import.
"""

from __future__ import annotations

from actors.ports import SmsSender
from server.gateways.sms.settings import SmsSettings


def create_sender(settings: SmsSettings) -> SmsSender:
    """Create the configured sender, whose settings must have no problems. Raises ValueError for the sandbox."""
    match settings.sender:
        case "tencent":
            from server.gateways.sms.tencent.sender import Tencent

            return Tencent(settings.tencent)
        case "aliyun":
            from server.gateways.sms.aliyun.sender import Aliyun

            return Aliyun(settings.aliyun)
        case "webhook":
            from server.gateways.sms.webhook.sender import Webhook

            return Webhook(settings.webhook)
    raise ValueError(f'no real SMS sender is configured: sms.sender is "{settings.sender}"')
