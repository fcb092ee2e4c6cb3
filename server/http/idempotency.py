"""The Idempotency-Key header."""

from __future__ import annotations

import re

from aiohttp import web

from actors.errors import BadParameter

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def idempotency_key(request: web.Request) -> str | None:
    """Return the caller's key, or None without one. Raises BadParameter."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise BadParameter(field="Idempotency-Key", problem="idempotency_key")
    return key
