"""Random requests for login codes, over phones, prefixes, addresses and restarts: no ceiling is ever passed.

What was sent is held against the limits a second time, by plain lists of moments. Nobody is refused without a full
limit either, and what Retry-After says is true to the second.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from actors.auth.actor import Auth
from actors.auth.messages import SendCode
from actors.auth.settings import AuthSecrets, AuthSettings
from actors.auth.tokens import Tokens
from actors.errors import Overloaded, RateLimited, ServiceUnavailable
from actors.quota.actor import Quota
from storage.engine.database import Database
from tests.support.server import ManualClock
from tests.torture.mutants import limiting_in_memory
from tests.torture.suite import Report

NAME = "SMS pumping: 100,000 requests a seed"
CONTROL = "counts sends in memory"

REQUESTS = 100_000
ENOUGH = 20  # violations, after which there is nothing more to learn
TOGETHER = 48  # requests at one moment, at most; an actor has more jobs than that
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
LIMITS = AuthSettings(
    phone_per_minute=3,
    phone_per_hour=6,
    phone_per_day=12,
    prefix_per_hour=25,
    address_per_hour=10,
    codes_per_day=300,
)
PAUSES = (0, 1, 300, 7 * SECOND, 59 * SECOND, MINUTE, 9 * MINUTE, HOUR)  # milliseconds between two moments


ALL = {"3 in 60 s", "6 in 3600 s", "12 in 86400 s", "25 in 3600 s", "10 in 3600 s", "300 in 86400 s"}


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False, requests: int = REQUESTS) -> Report:
    report = Report()
    for seed in seeds:
        with limiting_in_memory() if broken else nullcontext():
            found = asyncio.run(_round(folder / str(seed), Random(seed), requests))
        found.violations = [f"seed {seed}: {violation}" for violation in found.violations[:ENOUGH]]
        report.add(found)
    return report


async def _round(folder: Path, random: Random, requests: int) -> Report:
    phones = [f"13{prefix}0013{number:04}" for prefix in "5678" for number in random.sample(range(10_000), 12)]
    addresses = [f"192.0.2.{number}" for number in range(8)] + [f"2001:db8:0:{n}::/64" for n in range(4)]
    clock, sms, books, report = ManualClock(), Messages(random), Books(), Report()
    while report.checked < requests and len(report.violations) < ENOUGH:
        async with _serving(folder, clock, sms) as auth:
            while random.random() > 0.05 and report.checked < requests:
                many = random.choice((1, 1, 1, 4, TOGETHER))
                wanted = [SendCode(random.choice(phones), random.choice(addresses)) for _ in range(many)]
                outcomes = await asyncio.gather(*map(auth.ask, wanted), return_exceptions=True)
                report.violations += books.compare(wanted, outcomes, clock.now())
                report.checked += many
                clock.advance(seconds=random.choice(PAUSES) / SECOND)
        report.faults += 1
    report.violations += [f"nobody met the limit of {limit}: the round proves nothing" for limit in ALL - books.met]
    if sms.sent > books.counted:
        report.violations.append(f"{sms.sent} messages went out, {books.counted} were counted")
    report.faults += sms.failures
    return report


@asynccontextmanager
async def _serving(folder: Path, clock: ManualClock, sms: Messages) -> AsyncIterator[Auth]:
    db = await Database.open(folder)
    quota = Quota(db, clock)
    auth = Auth(db, clock, quota, sms, Tokens(DAY, clock), AuthSecrets("secret", "secret"), LIMITS)
    for actor in (quota, auth):
        actor.start()
    try:
        yield auth
    finally:
        for actor in (auth, quota):
            await actor.stop()
        await db.close()


@dataclass(slots=True)
class Messages:
    """An SmsSender that fails now and then, which counts all the same."""

    random: Random
    sent: int = 0
    failures: int = 0

    async def send(self, phone: str, code: str, minutes: int) -> None:
        await asyncio.sleep(0)
        self.sent += 1
        if self.random.random() < 0.1:
            self.failures += 1
            raise ServiceUnavailable(service="sms", retry_after=5)

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class Books:
    """When codes were sent, by whatever shares a limit."""

    moments: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    counted: int = 0
    met: set[str] = field(default_factory=set)  # limits that were full for somebody

    def compare(self, wanted: Sequence[SendCode], outcomes: Sequence[object], now: int) -> Iterator[str]:
        """What does not hold of requests at one moment, in whatever order they were taken."""
        alone = len(wanted) == 1
        expected = self.wait(wanted[0], now)
        for asked, outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, int | ServiceUnavailable):
                self._count(asked, now)
        for asked, outcome in zip(wanted, outcomes, strict=True):
            yield from self._passed(asked, now)
            match outcome:
                case RateLimited():
                    told = int(outcome.facts["retry_after"])
                    if not self.wait(asked, now):
                        yield f"at {now} {asked} was refused, and no limit was full"
                    if alone and told != -(-expected // SECOND):
                        yield f"at {now} {asked} was told to wait {told} s, and has to wait {expected} ms"
                case int() | ServiceUnavailable() | Overloaded():
                    pass
                case _:
                    yield f"at {now} {asked} was answered {outcome!r}"

    def wait(self, asked: SendCode, now: int) -> int:
        """Milliseconds until every limit has room for one more."""
        waits = [0]
        for scope, most, window in _limits(asked):
            inside = self._inside(scope, now, window)
            if len(inside) >= most:
                waits.append(inside[-most] + window - now)
                self.met.add(_name(most, window))
        return max(waits)

    def _count(self, asked: SendCode, now: int) -> None:
        self.counted += 1
        for scope in {scope for scope, _, _ in _limits(asked)}:
            self.moments[scope].append(now)

    def _passed(self, asked: SendCode, now: int) -> Iterator[str]:
        for scope, most, window in _limits(asked):
            if (sent := len(self._inside(scope, now, window))) > most:
                yield f"at {now} {sent} codes were sent for {scope} in {window} ms, and {most} are allowed"

    def _inside(self, scope: str, now: int, window: int) -> list[int]:
        moments = self.moments[scope]
        return moments[bisect_right(moments, now - window) :]


def _name(most: int, window: int) -> str:
    return f"{most} in {window // SECOND} s"


def _limits(asked: SendCode) -> list[tuple[str, int, int]]:
    """What holds for a request, by hand and not by the product's own list."""
    return [
        (asked.phone, 3, MINUTE),
        (asked.phone, 6, HOUR),
        (asked.phone, 12, DAY),
        (asked.phone[:7], 25, HOUR),
        (asked.address, 10, HOUR),
        ("everybody", 300, DAY),
    ]
