"""The Idempotency-Key header."""

from __future__ import annotations

import hashlib
import re

from aiohttp import web
from pydantic_core import to_json

from actors.errors import BadParameter
from actors.idempotency import IdempotencyKey

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def idempotency_key(request: web.Request, *parameters: object) -> IdempotencyKey | None:
    """Return the caller's key with a digest of the parsed `parameters`, or None without a key. Raises BadParameter.

    Two bodies with the same parameters have the same digest, however they are written.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if _KEY.fullmatch(key) is None:
        raise BadParameter(field="Idempotency-Key", problem="idempotency_key")
    return IdempotencyKey(key, hashlib.sha256(to_json(parameters)).digest())
