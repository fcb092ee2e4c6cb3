"""A login code on its way: when it is tried again, what the operator reads, and what the person is told.

No line that is logged holds the code or the whole phone. A provider's own words may hold both, so they are masked too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from structlog.stdlib import BoundLogger

from actors.errors import DomainError, ServiceUnavailable
from actors.phones import masked

SECONDS = 8.0  # for a message with its second attempt; the caller gives ten
CONNECT_SECONDS = 3.0  # so that two attempts fit
UNTOLD = 1  # stands for a limit that the provider keeps to itself
_QUOTED = 300  # characters of what a provider says

_log: BoundLogger = structlog.stdlib.get_logger("darkroom.sms")


@dataclass(frozen=True, slots=True)
class Message:
    """`phone` is canonical; the `code` is good for `minutes`."""

    phone: str = field(repr=False)
    code: str = field(repr=False)
    minutes: int

    def fill(self, template: str) -> str:
        """`{code}` and `{minutes}` put in."""
        return template.format(code=self.code, minutes=self.minutes)

    def masked(self, text: str) -> str:
        """What somebody else wrote, as it may be logged."""
        return text.replace(self.phone, masked(self.phone)).replace(self.code, "******")[:_QUOTED]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's no: `code`, `message` and `request_id` as it says them, `error` for the person.

    `hint` tells the operator what to do, where there is something.
    """

    code: str
    message: str
    request_id: str
    error: DomainError
    hint: str = ""


class NotConnected(Exception):
    """No connection came about, so the request was certainly not sent."""


class NoAnswer(Exception):
    """The request may have arrived, but nothing came back, or nothing that says whether the message goes out."""


Attempt = Callable[[Message], Awaitable[Refusal | None]]


async def deliver(provider: str, message: Message, attempt: Attempt, seconds: float) -> None:
    """Attempt to hand the message over, once more if it certainly was not sent; `seconds` are for all of it.

    An attempt gives None or a Refusal, or raises NotConnected or NoAnswer. Raises what the Refusal says, and
    ServiceUnavailable: never a second attempt then, since the message may be out, and each one costs money.
    """
    log = _log.bind(provider=provider, phone=masked(message.phone))
    error = await _failure(log, message, attempt, seconds)
    if error is not None:
        raise error  # outside of any handler: a cause may name an address that has the code in it


def unavailable() -> ServiceUnavailable:
    return ServiceUnavailable(service="sms", retry_after=60)


async def _failure(log: BoundLogger, message: Message, attempt: Attempt, seconds: float) -> DomainError | None:
    try:
        async with asyncio.timeout(seconds):
            refusal = await _answer(log, message, attempt)
    except TimeoutError:
        log.error("the SMS provider did not answer in time; the message may be out all the same", seconds=seconds)
    except NoAnswer as trouble:
        reason = message.masked(str(trouble))
        log.error("the SMS provider's answer is missing or unclear; the message may be out all the same", reason=reason)
    except NotConnected as trouble:
        reason = message.masked(str(trouble))
        log.error("the SMS provider cannot be reached; check its address and the network", reason=reason)
    else:
        return None if refusal is None else _told(log, message, refusal)
    return unavailable()


async def _answer(log: BoundLogger, message: Message, attempt: Attempt) -> Refusal | None:
    try:
        return await attempt(message)
    except NotConnected as trouble:
        log.warning("no connection to the SMS provider; trying once more", reason=message.masked(str(trouble)))
    return await attempt(message)


def _told(log: BoundLogger, message: Message, refusal: Refusal) -> DomainError:
    """One phone's trouble is a warning; what keeps everybody from logging in is an error."""
    write = log.error if isinstance(refusal.error, ServiceUnavailable) else log.warning
    said = {"provider_code": refusal.code, "message": refusal.message, "request_id": refusal.request_id}
    write(
        "the SMS provider refused",
        **{name: message.masked(text) for name, text in said.items()},
        **({"hint": refusal.hint} if refusal.hint else {}),
    )
    return refusal.error
