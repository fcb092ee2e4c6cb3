"""How many login codes are sent, and what is said when that is too many."""

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

PREFIX = 7  # digits of a number that name its network and region; 10,000 numbers share them
WARN_AT = 0.8  # of the day's ceiling

log = structlog.stdlib.get_logger("darkroom.auth")

_KINDS: dict[str, type[RateLimited]] = {
    "phone": TooManyCodesForPhone,
    "address": TooManyCodesForAddress,
    "prefix": TooManyCodes,
    "all": TooManyCodes,
}
_HELD_BACK = Counter("darkroom_login_codes_held_back", "Login codes not sent, by the limit that was reached", ["limit"])
_CEILING = Gauge("darkroom_login_codes_ceiling_reached", "1 while the day's ceiling keeps every login code back")
for _by in _KINDS:  # a rate needs its zero
    _HELD_BACK.labels(_by)


class CodeLimits:
    """`admit` belongs to a transaction; what came of it is told after that."""

    def __init__(self, settings: AuthSettings, clock: Clock) -> None:
        self._settings = settings
        self._full_until = 0  # when the day's ceiling has room again
        self._alarmed_until = self._warned_until = 0  # until then nothing is said of it again
        _CEILING.set_function(lambda: float(clock.now() < self._full_until))

    def admit(self, connection: Connection, phone: str, address: str, now: int) -> bool:
        """Count a code, unless a limit is full; whether the day's ceiling is near.

        Raises TooManyCodesForPhone, TooManyCodesForAddress, TooManyCodes: for the limit with the longest wait, with the
        fact `by` beside the usual ones.
        """
        limits = _limits(self._settings, phone, address)
        until, full = max((sends.blocked_until(connection, limit, now), limit) for limit in limits)
        if until:
            raise _KINDS[full.scope_kind](
                limit=full.max_sends, retry_after=seconds_to_wait(until - now), by=full.scope_kind
            )
        sends.add(connection, {limit.scope for limit in limits}, now)
        day = limits[-1]
        return sends.blocked_until(connection, day._replace(max_sends=max(1, int(day.max_sends * WARN_AT))), now) > 0

    def tell_held_back(self, refusal: RateLimited, now: int) -> None:
        by = str(refusal.facts["by"])
        _HELD_BACK.labels(by).inc()
        if by == "all":
            self._full_until = now + int(refusal.facts["retry_after"]) * 1000
            if now >= self._alarmed_until:
                log.error("the day's ceiling of login codes is reached: nobody gets one", **refusal.facts)
                self._alarmed_until = now + HOUR

    def tell_nearly_full(self, now: int) -> None:
        if now >= self._warned_until:
            most = self._settings.codes_per_day
            log.warning("most of the day's login codes are used up", ceiling=most, used_at_least=int(most * WARN_AT))
            self._warned_until = now + HOUR


def _limits(settings: AuthSettings, phone: str, address: str) -> Sequence[SendLimit]:
    """Return the limits of a code for this phone that this address asks for; the limit of the day is the last one."""
    return (
        SendLimit(f"phone:{phone}", settings.phone_per_minute, MINUTE),
        SendLimit(f"phone:{phone}", settings.phone_per_hour, HOUR),
        SendLimit(f"phone:{phone}", settings.phone_per_day, DAY),
        SendLimit(f"address:{address}", settings.address_per_hour, HOUR),
        SendLimit(f"prefix:{phone[:PREFIX]}", settings.prefix_per_hour, HOUR),
        SendLimit("all", settings.codes_per_day, DAY),
    )
