"""Masking of phones, codes, tokens and secrets in log lines.

This is the second line of defence: our own log calls leave these out, but third parties and exceptions do not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

REDACTED = "[redacted]"

_NAMES = (
    *("code", "token", "refresh_token", "access_token", "password", "authorization", "digest"),
    *("secret", "secret_key", "access_key_secret", "api_key"),
)
_KEYS = {name.replace("_", "") for name in _NAMES}
_DEPTH = 8  # levels of nested values; deeper values are shown by their repr

# The character before a match may be the end of an escape sequence in a repr, in JSON or in a URL.
_ESCAPED = r"(?<=\\[nrt]) | (?<=\\x[0-9a-f]{2}) | (?<=\\u[0-9a-f]{4}) | (?<=%[0-9A-Fa-f]{2})"

# Mainland China numbers in every usual notation. A longer run of letters and digits is an id and not a phone.
_PHONE = re.compile(
    rf"""
    (?: (?<![A-Za-z0-9]) | {_ESCAPED} )
    (?: (?: \+ | %2[Bb] | 00 )? 86 [ -]? )?
    (1[3-9][0-9]) [ -]? [0-9]{{4}} [ -]? ([0-9]{{4}})
    (?![A-Za-z0-9])
    """,
    re.VERBOSE,
)

_SECRET = re.compile(
    r"""
      rt_[A-Za-z0-9_-]{43,}  # a refresh token
    | whsec_[A-Za-z0-9+/=_-]+  # a webhook's secret (standardwebhooks.com)
    | (?<=[?&]signature=) [A-Za-z0-9%_-]+  # of a picture's URL
    """,
    re.VERBOSE,
)

# Candidates for a JWT. A pattern for JWTs themselves would need quadratic time over a long "eyJeyJ…".
_RUN = re.compile(r"[A-Za-z0-9_.-]+")

_BEARER = re.compile(r"(bearer)(?:\s|%20|\+)+[A-Za-z0-9._~+/=-]+", re.IGNORECASE)  # RFC 6750, section 2.1

# code='123456' or "token": "…", as in the repr of a message or a body. The text of an exception may quote them again.
_NAMED = re.compile(
    rf"""
    (?: (?<![A-Za-z0-9_]) | {_ESCAPED} )
    ((?: {"|".join(_NAMES)} | refreshToken | accessToken ) \\* ["']? \s* [:=] \s* b?)
    (\\*["']) .*? (?: (?<!\\)\2 | $ )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


# code=123456 or "code": 123456, where the code is a number.
_CODE = re.compile(
    rf"""
    (?: (?<![A-Za-z0-9_]) | {_ESCAPED} )
    (code \\* ["']? \s* [:=] \s*) [0-9]{{6}} (?![0-9])
    """,
    re.IGNORECASE | re.VERBOSE,
)


def masked_text(text: str) -> str:
    """Return the text with everything masked that must not be logged."""
    text = _CODE.sub(rf"\1{REDACTED}", text)
    text = _NAMED.sub(rf"\1\2{REDACTED}\2", text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    text = _RUN.sub(_without_jwt, text)
    return _PHONE.sub(r"\1****\2", _SECRET.sub(REDACTED, text))


def _without_jwt(run: re.Match[str]) -> str:
    """Redact a JWT (RFC 7519): it starts with JSON in base64 and has at least two dots."""
    text = run[0]
    start = text.find("eyJ")
    return text[:start] + REDACTED if start >= 0 and text.count(".", start) >= 2 else text


def masked_facts(facts: Mapping[str, object], depth: int = _DEPTH) -> dict[str, object]:
    """Return the facts as plain values for JSON, with everything masked that must not be logged."""
    return {
        masked_text(str(key)): REDACTED if _is_secret_name(str(key)) else _masked(value, depth - 1)
        for key, value in facts.items()
    }


def _is_secret_name(key: str) -> bool:
    return key.lower().replace("_", "").replace("-", "") in _KEYS


def _masked(value: object, depth: int) -> object:
    match value:
        case str():
            return masked_text(value)
        case None | bool():
            return value
        case int():
            shown = masked_text(_text(value))  # a phone may have been parsed as a number
            return value if shown.removeprefix("-").isdigit() else shown
        case float():
            return value if math.isfinite(value) else repr(value)  # JSON has no infinity and no NaN
        case Mapping() if depth > 0:
            return masked_facts(value, depth)
        case list() | tuple() | set() | frozenset() if depth > 0:
            return [_masked(item, depth - 1) for item in value]
        case _:
            return masked_text(_text(value))


def _text(value: object) -> str:
    """Return the repr, or a placeholder when it fails: for a broken object, or a number with thousands of digits."""
    try:
        return repr(value)
    except Exception as fault:
        return f"<{type(value).__name__} without a repr: {type(fault).__name__}>"
