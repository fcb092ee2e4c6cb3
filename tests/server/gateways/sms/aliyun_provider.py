"""A fake Alibaba Cloud: SendSms with ACS3-HMAC-SHA256, as its documentation and its own SDK sign."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

from aiohttp import web

from server.gateways.sms.aliyun.sender import Aliyun
from server.gateways.sms.aliyun.settings import AliyunSettings
from tests.server.gateways.sms.fake_provider import FakeProvider, ReceivedRequest, Reply, respond_with

KEY_ID, KEY_SECRET = "LTAItest", "a test's key secret"
FORM = re.compile(r"ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]{64})")
REFUSED = {
    "Code": "SignatureDoesNotMatch",
    "Message": "Specified signature is not matched.",
    "RequestId": "a-request",
}


def settings(base: str, **other: object) -> AliyunSettings:
    known = {"access_key_id": KEY_ID, "access_key_secret": KEY_SECRET, "sign_name": "暗房 ~*"}
    return AliyunSettings.model_validate({**known, "template_code": "SMS_1", "endpoint": base, **other})


def sender(base: str, seconds: float, **other: object) -> Aliyun:
    return Aliyun(settings(base, **other), seconds)


def provider() -> FakeProvider:
    return FakeProvider(check, status_response("OK", "OK"))


def status_response(code: str, message: str = "as the provider says", status: int = 200) -> Reply:
    return respond_with({"Code": code, "Message": message, "BizId": "9^0", "RequestId": "a-request"}, status)


def check(received: ReceivedRequest) -> web.Response | None:
    headers = received.headers
    date = datetime.strptime(headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    good = (
        (headers["x-acs-action"], headers["x-acs-version"]) == ("SendSms", "2017-05-25")
        and abs(datetime.now(UTC) - date) < timedelta(minutes=15)
        and headers["x-acs-content-sha256"] == hashlib.sha256(received.body).hexdigest()
        and len(headers["x-acs-signature-nonce"]) >= 16
        and is_signed(received)
    )
    return None if good else web.json_response(REFUSED, status=400)


def is_signed(received: ReceivedRequest) -> bool:
    """Check the signature, which must cover `host`, `content-type` and every `x-acs-` header."""
    given = FORM.fullmatch(received.headers["authorization"])
    must = {name for name in received.headers if name.startswith("x-acs-") or name in ("host", "content-type")}
    if given is None or given[1] != KEY_ID or not must <= set(given[2].split(";")):
        return False
    lines = "".join(f"{name}:{received.headers[name]}\n" for name in sorted(given[2].split(";")))
    pairs = sorted(parse_qsl(received.query, keep_blank_values=True))
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    path, body = received.target.partition("?")[0], hashlib.sha256(received.body).hexdigest()
    canonical = f"{received.method}\n{path}\n{query}\n{lines}\n{given[2]}\n{body}"
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return given[3] == hmac.digest(KEY_SECRET.encode(), text.encode(), "sha256").hex()
