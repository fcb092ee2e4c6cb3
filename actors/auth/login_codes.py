"""Login codes: sent within limits, and tried a few times each.

A try is on disk before its code is compared, so that neither a crash nor a hundred requests at once give more of them.
Whether somebody has ever logged in with a phone is not looked at before a right code has been spent.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

import structlog
from prometheus_client import Counter

from actors.auth.code_limits import CodeLimits
from actors.auth.settings import AuthSettings
from actors.deadline import deadline
from actors.durations import DAY, MINUTE, seconds_to_wait
from actors.errors import (
    CodeWrong,
    DomainError,
    LoginLocked,
    TooManyCodes,
    TooManyCodesForAddress,
    TooManyCodesForPhone,
)
from actors.phones import masked
from actors.ports import Clock, SmsSender
from storage.auth import codes, login_failures, sends
from storage.auth.codes import StoredCode
from storage.engine.connection import Connection
from storage.engine.database import Database

TRIES = 5  # guesses at one code, over all addresses
SMS_SECONDS = 10  # what the sender may take
FAILURES_KEPT = 30 * DAY
SENDS_KEPT = 8 * DAY  # no limit asks for more than the last day; a clock that is ahead for a week forgets nothing

log = structlog.stdlib.get_logger("darkroom.auth")

_SENT = Counter("darkroom_login_codes_sent", "Login codes counted against the limits, whatever their sender said")
_FAILED = Counter("darkroom_login_codes_failed", "Login codes that their sender did not take", ["reason"])
_WRONG = Counter("darkroom_login_codes_wrong", "Wrong codes that took a try")


class LoginCodes:
    def __init__(self, db: Database, clock: Clock, sms: SmsSender, secret: str, settings: AuthSettings) -> None:
        self._db, self._clock, self._sms, self._settings = db, clock, sms, settings
        self._secret = secret.encode()
        self._limits = CodeLimits(settings, clock)
        self._test_numbers = {number.phone: number for number in settings.test_numbers}

    async def send(self, phone: str, address: str) -> int:
        """Seconds that the code is good for. Raises as SendCode says."""
        now = self._clock.now()
        fixed = self._fixed_code(phone, now)
        code = fixed or f"{secrets.randbelow(1_000_000):06}"
        record = StoredCode(phone, self._digest(phone, code), now + self._settings.code_minutes * MINUTE)
        try:
            nearly = await self._db.write(lambda connection: self._admit(connection, record, address, now))
        except (TooManyCodesForPhone, TooManyCodesForAddress, TooManyCodes) as refusal:
            self._limits.tell_held_back(refusal, now)
            raise
        _SENT.inc()
        if nearly:
            self._limits.tell_nearly_full(now)
        if fixed is None:
            await self._hand_over(phone, code)
        log.info("login code sent", phone=masked(phone), test_number=fixed is not None)
        return self._settings.code_minutes * 60

    async def _hand_over(self, phone: str, code: str) -> None:
        try:
            async with deadline("sms", SMS_SECONDS):
                await self._sms.send(phone, code, self._settings.code_minutes)
        except DomainError as fault:
            _FAILED.labels(type(fault).__name__).inc()
            raise

    async def check(self, phone: str, code: str) -> bytes:
        """Take a try; the digest of a code that is right, to be spent by `spend`. Raises CodeWrong, LoginLocked."""
        now = self._clock.now()
        kept = await self._db.write(lambda connection: self._take_try(connection, phone, now))
        digest = self._digest(phone, code)
        if not hmac.compare_digest(kept or bytes(len(digest)), digest):
            _WRONG.inc()
            raise CodeWrong
        return digest

    def forget(self, connection: Connection) -> None:
        """What no limit and no try asks for any more."""
        now = self._clock.now()
        sends.delete_before(connection, now - SENDS_KEPT)
        codes.delete_expired(connection, now - DAY)
        login_failures.delete_before(connection, now - FAILURES_KEPT)

    def _admit(self, connection: Connection, record: StoredCode, address: str, now: int) -> bool:
        """Count a code and let it live, in one transaction, so that requests at one moment pass no limit together.

        Whether the day's ceiling is near.
        """
        self._refuse_locked(connection, record.phone, now)
        nearly = self._limits.admit(connection, record.phone, address, now)
        codes.replace(connection, record)
        return nearly

    def _take_try(self, connection: Connection, phone: str, now: int) -> bytes | None:
        """The digest to compare with. The try counts as a failure until the code has turned out to be right."""
        self._refuse_locked(connection, phone, now)
        kept = codes.count_attempt(connection, phone, now, TRIES)
        if kept is not None:
            login_failures.add(connection, phone, now)
        return kept

    def _refuse_locked(self, connection: Connection, phone: str, now: int) -> None:
        failures = login_failures.find(connection, phone)
        if failures.consecutive < self._settings.failures:
            return
        lock = self._settings.lock_minutes * MINUTE
        left = failures.last_at + lock - now
        if 0 < left <= 2 * lock:  # a clock that was far ahead for a moment locks nobody for long
            raise LoginLocked(limit=self._settings.failures, retry_after=seconds_to_wait(min(left, lock)))
        login_failures.clear(connection, phone)

    def _fixed_code(self, phone: str, now: int) -> str | None:
        number = self._test_numbers.get(phone)
        return number.code.get_secret_value() if number and number.is_valid(now) else None

    def _digest(self, phone: str, code: str) -> bytes:
        return hmac.digest(self._secret, f"{phone}:{code}".encode(), hashlib.sha256)


def spend(connection: Connection, phone: str, digest: bytes) -> bool:
    """Use a right code up, in the transaction of what it is good for. False for everybody but the first."""
    if not codes.consume(connection, phone, digest):
        return False
    login_failures.clear(connection, phone)
    return True
