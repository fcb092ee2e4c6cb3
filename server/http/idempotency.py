"""The Idempotency-Key header."""

from __future__ import annotations

import hashlib
import json
import re

from aiohttp import web

from actors.errors import BadParameter
from actors.idempotency import IdempotencyKey

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_canonical = json.JSONEncoder(sort_keys=True).encode


def idempotency_key(request: web.Request, *wish: object) -> IdempotencyKey | None:
    """The caller's key, if any, with a digest of what is asked, however it was written. Raises BadParameter."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if _KEY.fullmatch(key) is None:
        raise BadParameter(field="Idempotency-Key", problem="idempotency_key")
    return IdempotencyKey(key, hashlib.sha256(_canonical(wish).encode()).digest())
