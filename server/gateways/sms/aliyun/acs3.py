"""Alibaba Cloud's signature version 3, ACS3-HMAC-SHA256.

https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

ALGORITHM = "ACS3-HMAC-SHA256"
EMPTY_BODY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A POST to the root of a host, with its parameters in the query and without a body.

    Header names are in lower case. All headers are signed; the signature has to cover `host` and `x-acs-*`.
    """

    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def canonical_query(self) -> str:
        """Return the query, sorted and percent-encoded (RFC 3986). The request must be sent with exactly this text."""
        return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(self.query.items()))

    def authorization(self, key_id: str, key_secret: str) -> str:
        """Return the value of the header Authorization."""
        names = ";".join(sorted(self.headers))
        lines = "".join(f"{name}:{value.strip()}\n" for name, value in sorted(self.headers.items()))
        canonical = "\n".join(["POST", "/", self.canonical_query, lines, names, EMPTY_BODY_SHA256])
        signed = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(key_secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        return f"{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}"


def _encoded(text: str) -> str:
    return quote(text, safe="")
