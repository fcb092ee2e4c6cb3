"""The limits of login codes: how many are sent, and what is logged and counted when a limit is reached."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from prometheus_client import Counter, Gauge

from actors.auth.settings import AuthSettings
from actors.durations import DAY, HOUR, MINUTE, seconds_to_wait
from actors.errors import RateLimited, TooManyCodes, TooManyCodesForAddress, TooManyCodesForPhone
from actors.ports import Clock
from storage.auth import sends
from storage.auth.sends import SendLimit
from storage.engine.connection import Connection

PREFIX_DIGITS = 7  # digits of a number that name its network and region; 10,000 numbers share them
WARN_AT = 0.8  # the share of the daily limit at which a warning is logged

log = structlog.stdlib.get_logger("darkroom.auth")

_ERRORS: dict[str, type[RateLimited]] = {
    "phone": TooManyCodesForPhone,
    "address": TooManyCodesForAddress,
    "prefix": TooManyCodes,
    "all": TooManyCodes,
}
_REJECTED = Counter("darkroom_login_codes_held_back", "Login codes not sent, by the limit that was reached", ["limit"])
_LIMIT_REACHED = Gauge("darkroom_login_codes_ceiling_reached", "1 while the daily limit stops all login codes")
for _limit_name in _ERRORS:  # so that a rate of each limit starts at zero
    _REJECTED.labels(_limit_name)


class CodeLimits:
    """Counts login codes against all limits, and reports when one is reached.

    `admit` runs inside a transaction; its outcome is reported by another method after the commit.
    """

    def __init__(self, settings: AuthSettings, clock: Clock) -> None:
        self._settings = settings
        self._full_until = 0  # when the daily limit allows a code again
        self._alarmed_until = self._warned_until = 0  # until then it is not logged again
        _LIMIT_REACHED.set_function(lambda: float(clock.now() < self._full_until))

    def admit(self, connection: Connection, phone: str, address: str, now: int) -> bool:
        """Count a code against all limits; return whether the daily limit is almost reached.

        Raises TooManyCodesForPhone, TooManyCodesForAddress or TooManyCodes for the limit with the longest wait; the
        additional fact `by` is the name of that limit.
        """
        limits = _limits(self._settings, phone, address)
        until, full = max((sends.blocked_until(connection, limit, now), limit) for limit in limits)
        if until:
            limit_name = full.scope_kind
            raise _ERRORS[limit_name](limit=full.max_sends, retry_after=seconds_to_wait(until - now), by=limit_name)
        sends.add(connection, {limit.scope for limit in limits}, now)
        day = limits[-1]
        return sends.blocked_until(connection, day._replace(max_sends=max(1, int(day.max_sends * WARN_AT))), now) > 0

    def report_rejected(self, refusal: RateLimited, now: int) -> None:
        limit_name = str(refusal.facts["by"])
        _REJECTED.labels(limit_name).inc()
        if limit_name == "all":
            self._full_until = now + int(refusal.facts["retry_after"]) * 1000
            if now >= self._alarmed_until:
                log.error("the daily limit of login codes is reached: no code is sent", **refusal.facts)
                self._alarmed_until = now + HOUR

    def report_almost_full(self, now: int) -> None:
        if now >= self._warned_until:
            limit = self._settings.codes_per_day
            used = int(limit * WARN_AT)
            log.warning("the daily limit of login codes is almost reached", ceiling=limit, used_at_least=used)
            self._warned_until = now + HOUR


def _limits(settings: AuthSettings, phone: str, address: str) -> Sequence[SendLimit]:
    """Return the limits of a code for this phone that this address asks for; the limit of the day is the last one."""
    return (
        SendLimit(f"phone:{phone}", settings.phone_per_minute, MINUTE),
        SendLimit(f"phone:{phone}", settings.phone_per_hour, HOUR),
        SendLimit(f"phone:{phone}", settings.phone_per_day, DAY),
        SendLimit(f"address:{address}", settings.address_per_hour, HOUR),
        SendLimit(f"prefix:{phone[:PREFIX_DIGITS]}", settings.prefix_per_hour, HOUR),
        SendLimit("all", settings.codes_per_day, DAY),
    )
