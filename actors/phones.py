"""Mainland China mobile numbers. Their canonical form identifies a phone everywhere, also in limits."""

from __future__ import annotations

import re

from actors.errors import PhoneInvalid

_MOBILE = re.compile(r"1[3-9][0-9]{9}")


def canonical(text: str) -> str:
    """Return the canonical form: `+86 138 0013 8000` → `13800138000`. Raises PhoneInvalid."""
    digits = text.replace(" ", "").removeprefix("+86")
    if _MOBILE.fullmatch(digits) is None:
        raise PhoneInvalid
    return digits


def masked(phone: str) -> str:
    """Return the form for logs: `138****8000`."""
    return f"{phone[:3]}****{phone[-4:]}"
