"""Delivery of a login code: when it is attempted again, what the log says and which error the user gets.

No log line contains the code or the whole phone. A provider's own text may contain both, so it is masked too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from structlog.stdlib import BoundLogger

from actors.errors import DomainError, ServiceUnavailable
from actors.phones import masked

TOTAL_SECONDS = 8.0  # for one message, its second attempt included; the caller allows ten
CONNECT_SECONDS = 3.0  # short enough for two attempts
UNKNOWN_LIMIT = 1  # stands for a limit that the provider does not reveal
_QUOTED = 300  # characters of a provider's text that are logged

_log: BoundLogger = structlog.stdlib.get_logger("darkroom.sms")


@dataclass(frozen=True, slots=True)
class LoginCodeMessage:
    """A message with a login `code` that is valid for `minutes`; `phone` is canonical."""

    phone: str = field(repr=False)
    code: str = field(repr=False)
    minutes: int

    def fill(self, template: str) -> str:
        """Replace `{code}` and `{minutes}` in a template."""
        return template.format(code=self.code, minutes=self.minutes)

    def masked(self, text: str) -> str:
        """Mask code and phone in a provider's text, and shorten it, so that it can be logged."""
        return text.replace(self.phone, masked(self.phone)).replace(self.code, "******")[:_QUOTED]


@dataclass(frozen=True, slots=True)
class ProviderRefusal:
    """A provider refused a message.

    `code`, `message` and `request_id` are the provider's own, `error` is raised to the user, and `hint` tells the
    operator what to do; it is empty when the operator need not do anything.
    """

    code: str
    message: str
    request_id: str
    error: DomainError
    hint: str = ""


class NotConnected(Exception):
    """No connection was established, so the request was certainly not sent."""


class OutcomeUnknown(Exception):
    """The provider may have received the request, but its response is missing or unclear."""


Attempt = Callable[[LoginCodeMessage], Awaitable[ProviderRefusal | None]]


async def deliver(provider: str, message: LoginCodeMessage, attempt: Attempt, seconds: float) -> None:
    """Send a message, with a second attempt only if the first certainly did not reach the provider.

    `seconds` limits both attempts together. An attempt returns None or a ProviderRefusal, or raises NotConnected or
    OutcomeUnknown. Raises the error of the refusal, and ServiceUnavailable otherwise. There is no second attempt when
    the message may have been sent, because each message costs money.
    """
    log = _log.bind(provider=provider, phone=masked(message.phone))
    error = await _failure(log, message, attempt, seconds)
    if error is not None:
        raise error  # raised outside of the handlers, because their exceptions may name a URL that contains the code


def unavailable() -> ServiceUnavailable:
    return ServiceUnavailable(service="sms", retry_after=60)


async def _failure(log: BoundLogger, message: LoginCodeMessage, attempt: Attempt, seconds: float) -> DomainError | None:
    try:
        async with asyncio.timeout(seconds):
            refusal = await _attempt_twice(log, message, attempt)
    except TimeoutError:
        log.error("the SMS provider did not answer in time; the message may have been sent", seconds=seconds)
    except OutcomeUnknown as fault:
        reason = message.masked(str(fault))
        log.error("the SMS provider's response is missing or unclear; the message may have been sent", reason=reason)
    except NotConnected as fault:
        reason = message.masked(str(fault))
        log.error("the SMS provider cannot be reached; check its URL and the network", reason=reason)
    else:
        return None if refusal is None else _log_refusal(log, message, refusal)
    return unavailable()


async def _attempt_twice(log: BoundLogger, message: LoginCodeMessage, attempt: Attempt) -> ProviderRefusal | None:
    try:
        return await attempt(message)
    except NotConnected as fault:
        log.warning("no connection to the SMS provider; trying once more", reason=message.masked(str(fault)))
    return await attempt(message)


def _log_refusal(log: BoundLogger, message: LoginCodeMessage, refusal: ProviderRefusal) -> DomainError:
    """Log a problem of one phone as a warning, and what keeps all users from logging in as an error."""
    write = log.error if isinstance(refusal.error, ServiceUnavailable) else log.warning
    facts = {"provider_code": refusal.code, "message": refusal.message, "request_id": refusal.request_id}
    write(
        "the SMS provider refused the message",
        **{name: message.masked(text) for name, text in facts.items()},
        **({"hint": refusal.hint} if refusal.hint else {}),
    )
    return refusal.error
