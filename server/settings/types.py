"""The types of settings: what a value has to be like, and what is said of one that is not."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from actors.errors import PhoneInvalid
from actors.phones import canonical

SECRET_CHARACTERS = 32


def _network(text: str) -> str:
    ip_network(text)
    return text


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError('must begin with http:// or https:// and name a host, such as "https://api.example.com"')
    _ = parts.port  # raises ValueError where it is none
    return text


def _base_url(text: str) -> str:
    return _web_address(text).rstrip("/")


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or text != f"{parts.scheme}://{parts.netloc}" or text != text.lower():
        raise ValueError('must be an origin such as "https://app.example.com": scheme, host, nothing after it')
    if "@" in text or not parts.hostname or parts.port == {"http": 80, "https": 443}[parts.scheme]:
        raise ValueError("must be an origin as browsers send it: no user, and no port that is the scheme's own")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _long_enough(secret: SecretStr) -> SecretStr:
    if 0 < len(secret) < SECRET_CHARACTERS:
        raise ValueError(f"is too short: a secret has at least {SECRET_CHARACTERS} characters")
    return secret


def _six_digits(code: SecretStr) -> SecretStr:
    if re.fullmatch(r"[0-9]{6}", code.get_secret_value()) is None:
        raise ValueError("must be six digits, in quotes")
    return code


def _phone(text: str) -> str:
    try:
        return canonical(text)
    except PhoneInvalid:
        raise ValueError("is not a mainland China mobile number") from None


def _template(text: str) -> str:
    try:
        text.format(code="000000", minutes=5)
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError("may contain {code} and {minutes}, and no other braces") from None
    return text


Network = Annotated[str, AfterValidator(_network)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""A web address that others are appended to: without a slash at its end."""

Origin = Annotated[str, AfterValidator(_origin)]
"""As a browser sends it (RFC 6454, section 6.1): scheme, host, and a port that is not the scheme's own."""

NotBlank = Annotated[str, AfterValidator(_not_blank)]
Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
LoginCode = Annotated[SecretStr, AfterValidator(_six_digits)]
Phone = Annotated[str, AfterValidator(_phone)]
Template = Annotated[str, AfterValidator(_template)]
"""A parameter of a message's template, in which `{code}` and `{minutes}` may stand."""
