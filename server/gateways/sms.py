"""Senders of login codes."""

from __future__ import annotations

from actors.errors import ServiceUnavailable


class NoSms:
    """Stands where no sender is configured: logging in is refused and says why, everything else works."""

    async def send(self, phone: str, code: str, minutes: int) -> None:
        raise ServiceUnavailable(service="sms", retry_after=60)
