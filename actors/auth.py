"""Login by a code sent to the phone."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from actors.deadline import deadline
from actors.errors import CodeWrong, RateLimited, TooManyCodesForAddress, TooManyCodesForPhone, UserNotFound
from actors.ids import new_id
from actors.kernel import Actor, Message
from actors.phones import masked
from actors.ports import Clock, SmsSender
from actors.tokens import Caller, Tokens
from storage import codes, sessions, users
from storage.codes import Code
from storage.database import Connection, Database
from storage.sessions import Session
from storage.users import User as User

log = logging.getLogger("darkroom.auth")

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000  # milliseconds
TRIES = 5  # guesses at one code, over all addresses
REFRESH_DAYS = 30
SMS_SECONDS = 10  # what the sender may take


@dataclass(frozen=True, slots=True)
class AuthSettings:
    code_minutes: int
    phone_per_minute: int
    address_per_hour: int
    code_secret: str


@dataclass(frozen=True, slots=True)
class SendCode(Message[int]):
    """Send a login code to a canonical phone; replies how many seconds it is good for.

    Raises TooManyCodesForPhone, TooManyCodesForAddress, ServiceUnavailable (the attempt counts all the same).
    """

    phone: str
    address: str


@dataclass(frozen=True, slots=True)
class Login:
    """`refresh_token` is shown this once. `expires_in` seconds."""

    user: User
    token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class LogIn(Message[Login]):
    """Spend a code; a new phone becomes a new user. Raises CodeWrong."""

    phone: str
    code: str


@dataclass(frozen=True, slots=True)
class GetUser(Message[User]):
    """Raises UserNotFound."""

    user_id: str


class Auth(Actor):
    def __init__(self, db: Database, clock: Clock, sms: SmsSender, tokens: Tokens, settings: AuthSettings) -> None:
        super().__init__()
        self._db, self._clock, self._sms, self._tokens, self._settings = db, clock, sms, tokens, settings
        self.on(SendCode, self._send_code)
        self.on(LogIn, self._log_in)
        self.on(GetUser, self._get_user)

    async def _send_code(self, wanted: SendCode) -> object:
        code = f"{secrets.randbelow(1_000_000):06}"
        now = self._clock.now()
        record = Code(
            id=new_id(),
            phone=wanted.phone,
            address=wanted.address,
            digest=self._digest(wanted.phone, code),
            sent_at=now,
            expires_at=now + self._settings.code_minutes * MINUTE,
        )
        return self.start_job(self._send_sms(record, code))

    async def _send_sms(self, record: Code, code: str) -> int:
        # Counted inside the job, so that a request refused for want of a job has used nothing up.
        await self._db.write(lambda connection: _add_within_limits(connection, record, self._settings))
        async with deadline("sms", SMS_SECONDS):
            await self._sms.send(record.phone, code, self._settings.code_minutes)
        log.info("login code sent to %s", masked(record.phone))
        return self._settings.code_minutes * 60

    async def _log_in(self, attempt: LogIn) -> Login:
        now = self._clock.now()
        digest = self._digest(attempt.phone, attempt.code)
        refresh_token = secrets.token_urlsafe(32)
        candidate = User(new_id(), attempt.phone, now)
        session_id = new_id()

        def spend(connection: Connection) -> User | None:
            if not _code_matches(connection, attempt.phone, digest, now):
                return None  # not raised: the try that was counted has to stay counted
            user = users.find_or_add(connection, candidate)
            sessions.add(connection, _session(session_id, user, refresh_token, now))
            return user

        user = await self._db.write(spend)
        if user is None:
            raise CodeWrong
        token = self._tokens.issue(Caller(user.id, user.phone, session_id))
        return Login(user, token, refresh_token, self._tokens.seconds)

    async def _get_user(self, query: GetUser) -> User:
        user = await self._db.fetch(lambda connection: users.find(connection, query.user_id))
        if user is None:
            raise UserNotFound
        return user

    def _digest(self, phone: str, code: str) -> bytes:
        return hmac.digest(self._settings.code_secret.encode(), f"{phone}:{code}".encode(), hashlib.sha256)


def _add_within_limits(connection: Connection, code: Code, settings: AuthSettings) -> None:
    """Count and add in one transaction, so that requests at the same moment cannot pass a limit together."""
    phone = codes.sent_to_phone(connection, code.phone, code.sent_at - MINUTE)
    _check(TooManyCodesForPhone, phone, settings.phone_per_minute, MINUTE, code.sent_at)
    address = codes.asked_from_address(connection, code.address, code.sent_at - HOUR)
    _check(TooManyCodesForAddress, address, settings.address_per_hour, HOUR, code.sent_at)
    codes.add(connection, code)


def _check(kind: type[RateLimited], sent: Sequence[int], limit: int, window: int, now: int) -> None:
    """`sent` holds the times in the window that ends now, oldest first. Raises `kind`."""
    if len(sent) >= limit:
        wait = sent[len(sent) - limit] + window - now  # until so many have left the window that one more fits
        raise kind(limit=limit, retry_after=max(1, -(-wait // 1000)))


def _code_matches(connection: Connection, phone: str, digest: bytes, now: int) -> bool:
    taken = codes.take_try(connection, phone, now, TRIES)
    if taken is None:
        return False
    code_id, expected = taken
    if not hmac.compare_digest(expected, digest):
        return False
    codes.spend(connection, code_id)
    return True


def _session(session_id: str, user: User, refresh_token: str, now: int) -> Session:
    digest = hashlib.sha256(refresh_token.encode()).digest()
    return Session(session_id, user.id, digest, now, now + REFRESH_DAYS * DAY)
