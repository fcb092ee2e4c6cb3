"""Types of values that the settings of gateways and of the server itself use.

They are URLs and secrets of the operator's own choice.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

SECRET_CHARACTERS = 32


def _check_web_url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError('must begin with http:// or https:// and name a host, such as "https://api.example.com"')
    _ = parts.port  # raises ValueError for an invalid port
    return text


def _check_base_url(text: str) -> str:
    return _check_web_url(text).rstrip("/")


def _check_length(secret: SecretStr) -> SecretStr:
    if 0 < len(secret) < SECRET_CHARACTERS:
        raise ValueError(f"is too short: a secret has at least {SECRET_CHARACTERS} characters")
    return secret


IS_SECRET = AfterValidator(_check_length)
"""Marks a field as a secret of the operator's own choice, which production checks (server/settings/production.py)."""

WebUrl = Annotated[str, AfterValidator(_check_web_url)]
BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
"""A URL to which paths are appended. It has no slash at its end."""

Secret = Annotated[SecretStr, IS_SECRET]


def is_encrypted(url: str) -> bool:
    """Return whether requests to this URL are encrypted or stay on this machine.

    An empty URL counts as encrypted: that it is missing is reported elsewhere.
    """
    parts = urlsplit(url)
    if not url or parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
