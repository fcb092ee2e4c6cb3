"""The signature of calls from external workers: HMAC-SHA256 with a secret that only the operator's workers know."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from aiohttp import web

from actors.errors import NotAllowed
from actors.ports import Clock

TIMESTAMP, SIGNATURE = "X-Darkroom-Timestamp", "X-Darkroom-Signature"
MAX_AGE_SECONDS = 300


class WorkerSignature:
    """Checks the signature of external workers' calls. A timestamp is recent if it is so by one of the clocks.

    In development mode there are two clocks, because workers run on machines whose clocks the sandbox does not move.
    """

    def __init__(self, secret: str, clocks: Sequence[Clock]) -> None:
        self._secret, self._clocks = secret.encode(), clocks

    def check(self, request: web.Request, body: bytes) -> None:
        """Check the signature of a call. Raises NotAllowed if it is missing, invalid, or at least five minutes old."""
        timestamp = request.headers.get(TIMESTAMP, "")
        if re.fullmatch(r"[0-9]{1,12}", timestamp) is None:
            raise NotAllowed
        expected = sign(self._secret, timestamp, request.method, request.path, body)
        signature = request.headers.get(SIGNATURE, "")
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape")):
            raise NotAllowed
        if all(abs(clock.now() // 1000 - int(timestamp)) >= MAX_AGE_SECONDS for clock in self._clocks):
            raise NotAllowed


def sign(secret: bytes, timestamp: str, method: str, path: str, body: bytes) -> str:
    """Return the hexadecimal HMAC over the lines timestamp (epoch seconds), method, path and body."""
    content = f"{timestamp}\n{method}\n{path}\n".encode() + body
    return hmac.new(secret, content, hashlib.sha256).hexdigest()
