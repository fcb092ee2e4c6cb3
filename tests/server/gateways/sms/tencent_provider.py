"""A fake Tencent Cloud: SendSms with TC3-HMAC-SHA256, https://cloud.tencent.com/document/api/382/52072."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime

from aiohttp import web

from server.gateways.sms.tencent.sender import Tencent
from server.gateways.sms.tencent.settings import TencentSettings
from tests.server.gateways.sms.fake_provider import FakeProvider, ReceivedRequest, Reply, respond_with

KEY_ID, KEY_SECRET = "AKIDtest", "a test's secret key"
PUBLIC = {"x-tc-action": "SendSms", "x-tc-version": "2021-01-11", "x-tc-region": "ap-guangzhou"}


def settings(base: str, **other: object) -> TencentSettings:
    known = {"secret_id": KEY_ID, "secret_key": KEY_SECRET, "app_id": "1400006666", "sign_name": "暗房"}
    return TencentSettings.model_validate({**known, "template_id": "1110", "endpoint": base, **other})


def sender(base: str, seconds: float, **other: object) -> Tencent:
    return Tencent(settings(base, **other), seconds)


def provider() -> FakeProvider:
    return FakeProvider(check, status_response("Ok", "send success"))


def status_response(code: str, message: str = "as the provider says") -> Reply:
    """The call succeeds; the status is that of its one message."""
    status = {
        "SerialNo": "5000:1",
        "PhoneNumber": "+8613800138000",
        "Fee": 1,
        "Code": code,
        "Message": message,
    }
    return respond_with({"Response": {"SendStatusSet": [status], "RequestId": "a-request"}})


def error_body(code: str, message: str) -> dict[str, object]:
    return {"Response": {"Error": {"Code": code, "Message": message}, "RequestId": "a-request"}}


def check(received: ReceivedRequest) -> web.Response | None:
    public = {name: received.headers.get(name) for name in PUBLIC}
    fresh = abs(time.time() - int(received.headers["x-tc-timestamp"])) < 300
    if public == PUBLIC and fresh and received.headers["authorization"] == authorization(received):
        return None
    return web.json_response(
        error_body("AuthFailure.SignatureFailure", "The provided credentials could not be validated.")
    )


def authorization(received: ReceivedRequest) -> str:
    headers = "".join(f"{name}:{received.headers[name].lower()}\n" for name in ("content-type", "host"))
    payload = hashlib.sha256(received.body).hexdigest()
    canonical = f"{received.method}\n/\n{received.query}\n{headers}\ncontent-type;host\n{payload}"
    timestamp = received.headers["x-tc-timestamp"]
    date = datetime.fromtimestamp(int(timestamp), UTC).date().isoformat()
    scope = f"{date}/sms/tc3_request"
    key = f"TC3{KEY_SECRET}".encode()
    for part in (date, "sms", "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"TC3-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders=content-type;host, Signature={signature}"
