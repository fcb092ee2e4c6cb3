"""The HTTP part of the baseline implementation: tokens, signed picture URLs, JSON bodies and responses."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import jwt
from aiohttp import web
from yarl import URL

from tests.bench.members import BASE, SIGNING_KEY
from tests.support.server import SECRETS


def authenticate(request: web.Request) -> str:
    """Return the id of the user. Raises HTTPUnauthorized."""
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        claims = jwt.decode(token, SIGNING_KEY, algorithms=["HS256"], audience="darkroom", issuer="darkroom")
        return str(claims["userId"])
    except (jwt.InvalidTokenError, KeyError):
        raise http_error(web.HTTPUnauthorized, 1001, "not logged in") from None


def issue_token(user_id: str, phone: str) -> str:
    now = int(time.time())
    claims = {
        **{"iss": "darkroom", "aud": "darkroom", "sub": user_id, "jti": uuid.uuid4().hex, "typ": "access"},
        **{"iat": now, "exp": now + 7 * 86_400, "userId": user_id, "phone": phone},
    }
    return jwt.encode(claims, SIGNING_KEY, algorithm="HS256")


async def read_json(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of the body. Raises HTTPBadRequest."""
    try:
        body = await request.json()
    except ValueError:
        raise http_error(web.HTTPBadRequest, 4001, "not JSON") from None
    if not isinstance(body, dict):
        raise http_error(web.HTTPBadRequest, 4001, "the body must be an object")
    return body


def verified_picture_key(user_id: str, url: object) -> str:
    """Return the key of the picture with this signed URL. Raises HTTPBadRequest or HTTPForbidden."""
    prefix = f"{BASE}/media/"
    if not isinstance(url, str) or not url.startswith(prefix):
        raise http_error(web.HTTPBadRequest, 4001, "not a picture URL of this server")
    parsed = URL(url)
    key = parsed.path.removeprefix("/media/")
    signature = _signature(key, parsed.query.get("expires", ""))
    if not hmac.compare_digest(signature, parsed.query.get("signature", "")):
        raise http_error(web.HTTPForbidden, 4003, "the signature is wrong")
    if not key.startswith(f"input/{user_id}/"):
        raise http_error(web.HTTPForbidden, 4003, "the picture belongs to another user")
    return key


def signed_url(key: str) -> str:
    expires = str(int(time.time()) + 1800)
    return f"{BASE}/media/{key}?expires={expires}&signature={_signature(key, expires)}"


def _signature(key: str, expires: str) -> str:
    return hmac.new(SECRETS["media"].encode(), f"GET\n{key}\n{expires}".encode(), hashlib.sha256).hexdigest()


def respond(data: object) -> web.Response:
    return web.json_response({"success": True, "data": data})


def http_error(status: type[web.HTTPException], code: int, message: str) -> web.HTTPException:
    content = {"success": False, "error": {"code": code, "message": message}}
    return status(text=json.dumps(content), content_type="application/json")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def iso_time(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
