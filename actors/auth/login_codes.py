"""Login codes: sent within limits, and valid for a few tries.

A try is on disk before its code is compared, so that neither a crash nor concurrent requests allow more tries. Whether
a phone has an account is read only after a right code was used, so that an attacker cannot find it out.
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

TRIES = 5  # of one code, counted over all addresses
SMS_SECONDS = 10  # how long the sender may take
FAILURE_RETENTION = 30 * DAY
SEND_RETENTION = 8 * DAY  # the longest limit is a day; a clock that is a week ahead for a while deletes nothing needed

log = structlog.stdlib.get_logger("darkroom.auth")

_SENT = Counter("darkroom_login_codes_sent", "Login codes counted against the limits, sent or not")
_FAILED = Counter("darkroom_login_codes_failed", "Login codes that could not be sent", ["reason"])
_WRONG = Counter("darkroom_login_codes_wrong", "Wrong codes that used up a try")


class LoginCodes:
    """Sends login codes and checks them."""

    def __init__(self, db: Database, clock: Clock, sms: SmsSender, secret: str, settings: AuthSettings) -> None:
        self._db, self._clock, self._sms, self._settings = db, clock, sms, settings
        self._secret = secret.encode()
        self._limits = CodeLimits(settings, clock)
        self._test_numbers = {number.phone: number for number in settings.test_numbers}

    async def send(self, phone: str, address: str) -> int:
        """Send a login code; return for how many seconds it is valid. Raises what SendCode lists."""
        now = self._clock.now()
        fixed_code = self._fixed_code(phone, now)
        code = fixed_code or f"{secrets.randbelow(1_000_000):06}"
        record = StoredCode(phone, self._digest(phone, code), now + self._settings.code_minutes * MINUTE)
        try:
            is_almost_full = await self._db.write(lambda connection: self._admit(connection, record, address, now))
        except (TooManyCodesForPhone, TooManyCodesForAddress, TooManyCodes) as refusal:
            self._limits.report_rejected(refusal, now)
            raise
        _SENT.inc()
        if is_almost_full:
            self._limits.report_almost_full(now)
        if fixed_code is None:
            await self._deliver(phone, code)
        log.info("login code sent", phone=masked(phone), test_number=fixed_code is not None)
        return self._settings.code_minutes * 60

    async def _deliver(self, phone: str, code: str) -> None:
        try:
            async with deadline("sms", SMS_SECONDS):
                await self._sms.send(phone, code, self._settings.code_minutes)
        except DomainError as fault:
            _FAILED.labels(type(fault).__name__).inc()
            raise

    async def check(self, phone: str, code: str) -> bytes:
        """Use up a try; return the digest of the right code for `consume_code`. Raises CodeWrong, LoginLocked."""
        now = self._clock.now()
        stored_digest = await self._db.write(lambda connection: self._take_try(connection, phone, now))
        digest = self._digest(phone, code)
        if not hmac.compare_digest(stored_digest or bytes(len(digest)), digest):
            _WRONG.inc()
            raise CodeWrong
        return digest

    def purge(self, connection: Connection) -> None:
        """Delete what neither a limit nor a try needs any more."""
        now = self._clock.now()
        sends.delete_before(connection, now - SEND_RETENTION)
        codes.delete_expired(connection, now - DAY)
        login_failures.delete_before(connection, now - FAILURE_RETENTION)

    def _admit(self, connection: Connection, record: StoredCode, address: str, now: int) -> bool:
        """Count a code and make it valid in one transaction, so that concurrent requests cannot exceed a limit.

        Returns whether the daily limit is almost reached.
        """
        self._check_lock(connection, record.phone, now)
        is_almost_full = self._limits.admit(connection, record.phone, address, now)
        codes.replace(connection, record)
        return is_almost_full

    def _take_try(self, connection: Connection, phone: str, now: int) -> bytes | None:
        """Return the digest to compare with. The try counts as a failure until the right code is used."""
        self._check_lock(connection, phone, now)
        stored_digest = codes.count_try(connection, phone, now, TRIES)
        if stored_digest is not None:
            login_failures.add(connection, phone, now)
        return stored_digest

    def _check_lock(self, connection: Connection, phone: str, now: int) -> None:
        failures = login_failures.find(connection, phone)
        if failures.consecutive < self._settings.failures:
            return
        lock = self._settings.lock_minutes * MINUTE
        remaining = failures.last_at + lock - now
        if 0 < remaining <= 2 * lock:  # a clock that was far ahead for a while must not lock a phone for long
            raise LoginLocked(limit=self._settings.failures, retry_after=seconds_to_wait(min(remaining, lock)))
        login_failures.clear(connection, phone)

    def _fixed_code(self, phone: str, now: int) -> str | None:
        number = self._test_numbers.get(phone)
        return number.code.get_secret_value() if number and number.is_valid(now) else None

    def _digest(self, phone: str, code: str) -> bytes:
        return hmac.digest(self._secret, f"{phone}:{code}".encode(), hashlib.sha256)


def consume_code(connection: Connection, phone: str, digest: bytes) -> bool:
    """Use the right code in the transaction that opens the session. Returns False when it was used before."""
    if not codes.consume(connection, phone, digest):
        return False
    login_failures.clear(connection, phone)
    return True
