"""What can be set of logins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actors.durations import DAY, HOUR, MINUTE
from storage.auth.sends import Limit

PREFIX = 7  # digits of a number that say its network and region: 10,000 numbers share them


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """How many login codes may be sent: to a phone, to numbers of one prefix, for an address, by the whole server."""

    phone_per_minute: int
    phone_per_hour: int
    phone_per_day: int
    prefix_per_hour: int
    address_per_hour: int
    codes_per_day: int

    def of(self, phone: str, address: str) -> Sequence[Limit]:
        """What a code to this phone, asked for from this address, has to keep within."""
        return (
            Limit(f"phone:{phone}", self.phone_per_minute, MINUTE),
            Limit(f"phone:{phone}", self.phone_per_hour, HOUR),
            Limit(f"phone:{phone}", self.phone_per_day, DAY),
            Limit(f"address:{address}", self.address_per_hour, HOUR),
            Limit(f"prefix:{phone[:PREFIX]}", self.prefix_per_hour, HOUR),
            Limit("all", self.codes_per_day, DAY),
        )


@dataclass(frozen=True, slots=True)
class TestNumber:
    """A phone that gets no message: its code is always the same, until a moment (epoch milliseconds; None: always)."""

    __test__ = False  # not for pytest, whatever its name

    code: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """`signup_quota` in generations. After `failures` wrong codes in a row a phone is locked for `lock_minutes`."""

    code_secret: str
    limits: SendingLimits
    code_minutes: int = 5
    refresh_days: int = 30
    failures: int = 100
    lock_minutes: int = 60
    signup_quota: int = 0
    test_numbers: Mapping[str, TestNumber] = field(default_factory=dict)
