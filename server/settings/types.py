"""Types of values that only the server's own sections use."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _check_network(text: str) -> str:
    ip_network(text)
    return text


def _check_origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or text != f"{parts.scheme}://{parts.netloc}" or text != text.lower():
        raise ValueError('must be an origin such as "https://app.example.com": scheme and host, nothing after them')
    if "@" in text or not parts.hostname or parts.port == {"http": 80, "https": 443}[parts.scheme]:
        raise ValueError("must be an origin as browsers send it: no user, and no port that is the scheme's default")
    return text


def _check_not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Network = Annotated[str, AfterValidator(_check_network)]
"""An address or a network, IPv4 or IPv6."""

Origin = Annotated[str, AfterValidator(_check_origin)]
"""An origin as a browser sends it (RFC 6454, section 6.2): scheme, host, and a port that is not the default."""

NotBlank = Annotated[str, AfterValidator(_check_not_blank)]
