"""Mainland China mobile numbers. One person is one canonical number everywhere, limits included."""

from __future__ import annotations

import re

from actors.errors import PhoneInvalid

_MOBILE = re.compile(r"1[3-9][0-9]{9}")


def canonical(text: str) -> str:
    """`+86 138 0013 8000` → `13800138000`. Raises PhoneInvalid for anything that is not such a number."""
    digits = text.replace(" ", "").removeprefix("+86")
    if _MOBILE.fullmatch(digits) is None:
        raise PhoneInvalid
    return digits


def masked(phone: str) -> str:
    """For logs: `138****8000`."""
    return f"{phone[:3]}****{phone[-4:]}"
