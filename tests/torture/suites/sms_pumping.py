"""Random requests for login codes, over phones, prefixes, addresses and restarts: no limit is ever exceeded.

The suite counts the sent codes itself, in plain lists of times, and compares them with the limits. It also checks that
a request is refused only if a limit is reached, and that Retry-After is exact to the second.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
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
from tests.torture.disk.unsynced import without_syncs
from tests.torture.mutants.auth import limiting_in_memory
from tests.torture.suite import SuiteReport, run_rounds

NAME = "SMS pumping: 100,000 requests a seed"
CONTROL = "counts sends in memory"

REQUESTS = 100_000
MAX_VIOLATIONS = 20  # a round ends when it has found so many
MAX_CONCURRENT = 48  # requests at one moment; less than the jobs that an actor can run at once
RESTART_PROBABILITY = 0.05  # after each moment
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
LIMITS = AuthSettings(
    phone_per_minute=3,
    phone_per_hour=6,
    phone_per_day=12,
    prefix_per_hour=25,
    address_per_hour=10,
    codes_per_day=300,
)
LIMIT_NAMES = {"3 in 60 s", "6 in 3600 s", "12 in 86400 s", "25 in 3600 s", "10 in 3600 s", "300 in 86400 s"}
PAUSES = (0, 1, 300, 7 * SECOND, 59 * SECOND, MINUTE, 9 * MINUTE, HOUR)  # milliseconds between two moments


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False, requests: int = REQUESTS) -> SuiteReport:
    return run_rounds(folder, seeds, partial(_round, requests=requests), mutant=mutant)


async def _round(folder: Path, random: Random, mutant: bool, *, requests: int) -> SuiteReport:
    phones = [f"13{prefix}0013{number:04}" for prefix in "5678" for number in random.sample(range(10_000), 12)]
    addresses = [f"192.0.2.{number}" for number in range(8)] + [f"2001:db8:0:{n}::/64" for n in range(4)]
    clock, sms, expected, report = ManualClock(), UnreliableSms(random), ExpectedSends(), SuiteReport()
    max_violations = 1 if mutant else MAX_VIOLATIONS
    with limiting_in_memory() if mutant else nullcontext():
        while report.checked < requests and len(report.violations) < max_violations:
            async with _auth_actor(folder, clock, sms) as auth:
                while random.random() > RESTART_PROBABILITY and report.checked < requests:
                    number = random.choice((1, 1, 1, 4, MAX_CONCURRENT))
                    sends = [SendCode(random.choice(phones), random.choice(addresses)) for _ in range(number)]
                    outcomes = await asyncio.gather(*map(auth.ask, sends), return_exceptions=True)
                    report.violations += expected.compare(sends, outcomes, clock.now())
                    report.checked += number
                    clock.advance(seconds=random.choice(PAUSES) / SECOND)
            report.faults += 1
    report.faults += sms.failures
    del report.violations[MAX_VIOLATIONS:]
    if not mutant:  # its round may end before all limits were reached
        report.violations += expected.check_totals(sms.sent)
    return report


@asynccontextmanager
async def _auth_actor(folder: Path, clock: ManualClock, sms: UnreliableSms) -> AsyncIterator[Auth]:
    """Run the auth actor between an orderly start and an orderly stop. Durability is not tested here."""
    with without_syncs():
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
class UnreliableSms:
    """An SmsSender that sometimes fails. Such a message counts like a sent one."""

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
        """There is nothing to close."""


@dataclass(slots=True)
class ExpectedSends:
    """When codes were sent, for each scope that has a limit."""

    times: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # milliseconds by scope
    counted: int = 0
    reached_limits: set[str] = field(default_factory=set)

    def compare(self, requests: Sequence[SendCode], outcomes: Sequence[object], now: int) -> Iterator[str]:
        """Yield what is wrong with the outcomes of concurrent requests, in whatever order they were processed."""
        single = len(requests) == 1
        wait_before = self.wait(requests[0], now)
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, int | ServiceUnavailable):
                self._count(request, now)
        for request, outcome in zip(requests, outcomes, strict=True):
            yield from self._exceeded(request, now)
            match outcome:
                case RateLimited():
                    retry_after = int(outcome.facts["retry_after"])
                    if not self.wait(request, now):
                        yield f"at {now} {request} was refused and no limit was reached"
                    if single and retry_after != -(-wait_before // SECOND):
                        yield f"at {now} {request} got Retry-After {retry_after} s and has to wait {wait_before} ms"
                case int() | ServiceUnavailable() | Overloaded():
                    pass
                case _:
                    yield f"at {now} {request} was answered {outcome!r}"

    def check_totals(self, sent: int) -> Iterator[str]:
        for limit in LIMIT_NAMES - self.reached_limits:
            yield f"the limit of {limit} was never reached: the round proves nothing"
        if sent > self.counted:
            yield f"{sent} messages were sent and {self.counted} were counted"

    def wait(self, request: SendCode, now: int) -> int:
        """Return the milliseconds until every limit allows one more code."""
        waits = [0]
        for scope, most, window in _limits(request):
            inside = self._inside(scope, now, window)
            if len(inside) >= most:
                waits.append(inside[-most] + window - now)
                self.reached_limits.add(f"{most} in {window // SECOND} s")
        return max(waits)

    def _count(self, request: SendCode, now: int) -> None:
        self.counted += 1
        for scope in {scope for scope, _, _ in _limits(request)}:
            self.times[scope].append(now)

    def _exceeded(self, request: SendCode, now: int) -> Iterator[str]:
        for scope, most, window in _limits(request):
            if (sent := len(self._inside(scope, now, window))) > most:
                yield f"at {now} {sent} codes were sent for {scope} in {window} ms; {most} are allowed"

    def _inside(self, scope: str, now: int, window: int) -> list[int]:
        times = self.times[scope]
        return times[bisect_right(times, now - window) :]


def _limits(request: SendCode) -> list[tuple[str, int, int]]:
    """Return scope, maximum and window (ms) of each limit, written down again instead of taken from the product."""
    return [
        (request.phone, 3, MINUTE),
        (request.phone, 6, HOUR),
        (request.phone, 12, DAY),
        (request.phone[:7], 25, HOUR),
        (request.address, 10, HOUR),
        ("all codes", 300, DAY),
    ]
