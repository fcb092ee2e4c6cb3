"""Which sender the settings name, and what it still needs.

Each is imported when it is chosen: Tencent's stands on a dependency that is not everybody's, and all of them take their
time, which commands that send nothing should not pay for.
"""

from __future__ import annotations

import binascii
import importlib.util
from urllib.parse import urlsplit

from actors.ports import SmsSender
from server.settings.model import Sms

_NEEDED = {
    "tencent": ("secret_id", "secret_key", "app_id", "sign_name", "template_id", "region", "endpoint"),
    "aliyun": ("access_key_id", "access_key_secret", "sign_name", "template_code", "endpoint"),
    "webhook": ("url", "secret"),
}
_TENCENT_SDK = ("httpx", "tencentcloud", "tencentcloud.sms")  # a package before its parts: to look for these imports it


def sender(settings: Sms) -> SmsSender:
    """The sender that is set, which must have no `faults`. The sandbox's is none of these. Raises ValueError."""
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
    raise ValueError(f'no real sender of login codes is set: sms.sender is "{settings.sender}"')


def faults(settings: Sms) -> list[str]:
    """Each reason why the sender that is set cannot work, with its key and the way out. None for the sandbox."""
    if settings.sender not in _NEEDED:
        return []
    section = getattr(settings, settings.sender)
    missing = [name for name in _NEEDED[settings.sender] if not getattr(section, name)]
    return [
        *(f'sms.{settings.sender}.{name}: is needed by the sender "{settings.sender}"' for name in missing),
        *_beyond_the_missing(settings),
    ]


def _beyond_the_missing(settings: Sms) -> list[str]:
    match settings.sender:
        case "tencent":
            return [*_endpoint_faults("tencent", settings.tencent.endpoint), *_sdk_faults()]
        case "aliyun":
            return _endpoint_faults("aliyun", settings.aliyun.endpoint)
        case _:
            return _secret_faults(settings.webhook.secret.get_secret_value())


def _endpoint_faults(provider: str, endpoint: str) -> list[str]:
    """Both providers are asked at the root of a host, and sign that."""
    parts = urlsplit(endpoint)
    if parts.path or parts.query or parts.username is not None:
        return [f"sms.{provider}.endpoint: must be a host and nothing behind it"]
    return []


def _sdk_faults() -> list[str]:
    if all(importlib.util.find_spec(name) is not None for name in _TENCENT_SDK):
        return []
    return [
        'sms.sender: "tencent" needs the Tencent SDK, which is not installed: pip install "darkroom[tencent]"',
    ]


def _secret_faults(secret: str) -> list[str]:
    from server.gateways.sms.webhook.sender import signing_key

    try:
        signing_key(secret)
    except binascii.Error:
        return ['sms.webhook.secret: what follows "whsec_" must be base64']
    return []
