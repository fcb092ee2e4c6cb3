"""The settings of logins: how long codes and sessions are valid, and how many codes may be sent."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, field_validator

from actors.durations import DAY
from actors.errors import PhoneInvalid
from actors.phones import canonical
from actors.settings import Problem, Section


def _check_six_digits(code: SecretStr) -> SecretStr:
    if re.fullmatch(r"[0-9]{6}", code.get_secret_value()) is None:
        raise ValueError("must be six digits, in quotes")
    return code


def _check_phone(text: str) -> str:
    try:
        return canonical(text)
    except PhoneInvalid:
        raise ValueError("is not a mainland China mobile number") from None


LoginCode = Annotated[SecretStr, AfterValidator(_check_six_digits)]
Phone = Annotated[str, AfterValidator(_check_phone)]


class TestNumber(Section):
    """A phone that gets no message and always has the same login code, until the end of the day `until` (UTC)."""

    __test__ = False  # pytest must not collect this class because of its name

    phone: Phone
    code: LoginCode
    until: date | None = None

    def is_valid(self, now: int) -> bool:
        """Return whether the fixed code is accepted at `now` (epoch milliseconds)."""
        return self.until is None or now < calendar.timegm(self.until.timetuple()) * 1000 + DAY


class AuthSettings(Section):
    """The section `[auth]`.

    The limits count login codes that are sent. `failures` wrong codes in a row lock a phone for `lock_minutes`.

    The limits of an hour and of a day follow the limit of a minute, and the limit of a prefix follows the limit of an
    address, unless they are set: an operator who raises the narrow limit wants to let more codes through. The limit of
    the whole server follows nothing, because it is the most that the messages of a day can cost.
    """

    token_days: int = Field(7, ge=1, le=365)
    refresh_days: int = Field(30, ge=1, le=3650)
    code_minutes: int = Field(5, ge=1, le=60)
    phone_per_minute: int = Field(5, ge=1, le=1000)
    phone_per_hour: int = Field(default_factory=lambda values: 2 * values.get("phone_per_minute", 5), ge=1, le=10_000)
    phone_per_day: int = Field(default_factory=lambda values: 4 * values.get("phone_per_minute", 5), ge=1, le=100_000)
    address_per_hour: int = Field(20, ge=1, le=1_000_000)
    prefix_per_hour: int = Field(
        default_factory=lambda values: 10 * values.get("address_per_hour", 20), ge=1, le=10_000_000
    )
    codes_per_day: int = Field(5000, ge=1, le=10_000_000)
    failures: int = Field(100, ge=1, le=100_000)
    lock_minutes: int = Field(60, ge=1, le=10_080)
    signup_quota: int = Field(0, ge=0, le=1_000_000)
    test_numbers: list[TestNumber] = []

    @field_validator("test_numbers")
    @classmethod
    def _check_unique(cls, numbers: list[TestNumber]) -> list[TestNumber]:
        phones = [number.phone for number in numbers]
        if len(set(phones)) < len(phones):
            raise ValueError("the same phone is listed twice")
        return numbers

    def problems(self) -> Iterator[Problem]:
        if self.refresh_days < self.token_days:
            yield "refresh_days", "must not be less than auth.token_days: a session would end before its access token"

    def production_problems(self) -> Iterator[Problem]:
        for number in self.test_numbers:
            if number.until is None:
                yield "test_numbers", f"{number.phone} needs `until`, the last day on which its fixed code is accepted"


@dataclass(frozen=True, slots=True)
class AuthSecrets:
    """The secrets of the auth actor.

    `token` signs access tokens, together with a salt in the database. `code` is the key for the hashes of login codes.
    """

    token: str
    code: str
