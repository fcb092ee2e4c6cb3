"""The settings choose a sender and report what it lacks."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from server.gateways.sms.aliyun.sender import Aliyun
from server.gateways.sms.factory import create_sender
from server.gateways.sms.settings import SmsSettings
from server.gateways.sms.tencent.sender import Tencent
from server.gateways.sms.webhook.sender import Webhook

COMPLETE = {
    "tencent": {"secret_id": "i", "secret_key": "k", "app_id": "1400006666", "sign_name": "暗房", "template_id": "1"},
    "aliyun": {"access_key_id": "i", "access_key_secret": "k", "sign_name": "暗房", "template_code": "SMS_1"},
    "webhook": {"url": "https://sms.example/send", "secret": "a test's webhook secret, long enough"},
}
DEFAULTED = {"tencent": ("region", "endpoint"), "aliyun": ("endpoint",), "webhook": ()}
MISSING = [(name, key) for name, section in COMPLETE.items() for key in (*section, *DEFAULTED[name])]


def faults(settings: SmsSettings) -> list[str]:
    return [f"sms.{key}: {problem}" for key, problem in settings.problems()]


def chosen(name: str, **other: str) -> SmsSettings:
    return SmsSettings.model_validate({"sender": name, name: {**COMPLETE[name], **other}})


@pytest.mark.parametrize(("name", "kind"), [("tencent", Tencent), ("aliyun", Aliyun), ("webhook", Webhook)])
async def test_the_configured_sender_is_created(name: str, kind: type) -> None:
    assert faults(chosen(name)) == []
    made = create_sender(chosen(name))
    assert isinstance(made, kind)
    await made.close()


@pytest.mark.parametrize("name", ["", "sandbox"])
def test_the_sandbox_has_no_problems_and_no_real_sender(name: str) -> None:
    settings = SmsSettings.model_validate({"sender": name})
    assert faults(settings) == []
    with pytest.raises(ValueError, match="no real SMS sender"):
        create_sender(settings)


@pytest.mark.parametrize(("name", "key"), MISSING)
def test_each_missing_setting_is_named(name: str, key: str) -> None:
    assert faults(chosen(name, **{key: ""})) == [f"sms.{name}.{key}: is required by this sender"]


def test_all_missing_settings_are_reported_at_once() -> None:
    problems = faults(SmsSettings(sender="tencent"))
    assert [line.partition(":")[0] for line in problems] == [f"sms.tencent.{key}" for key in COMPLETE["tencent"]]


def test_settings_of_other_senders_are_not_checked() -> None:
    settings = SmsSettings.model_validate({"sender": "webhook", **COMPLETE, "tencent": {}, "aliyun": {"sign_name": ""}})
    assert faults(settings) == []


@pytest.mark.parametrize("absent", ["httpx", "tencentcloud", "tencentcloud.sms"])
def test_a_missing_sdk_is_reported_with_its_install_command(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    real = importlib.util.find_spec

    def find_spec(name: str) -> ModuleSpec | None:
        if name.startswith(f"{absent}."):
            raise ModuleNotFoundError(f"No module named {absent!r}")
        return None if name == absent else real(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    assert faults(chosen("tencent")) == [
        'sms.sender: "tencent" needs the Tencent SDK, which is not installed: pip install "darkroom[tencent]"'
    ]
    assert faults(chosen("aliyun")) == []


@pytest.mark.parametrize("name", ["tencent", "aliyun"])
@pytest.mark.parametrize("behind", ["/v2", "?a=b"])
def test_an_endpoint_has_no_path_and_no_query(name: str, behind: str) -> None:
    problems = faults(chosen(name, endpoint=f"https://sms.example{behind}"))
    assert problems == [f"sms.{name}.endpoint: must be a host without a path, a query or a user"]


def test_an_invalid_base64_secret_is_reported() -> None:
    problems = faults(chosen("webhook", secret="whsec_" + "!" + "A" * 32))
    assert problems == ['sms.webhook.secret: must have base64 after "whsec_"']
