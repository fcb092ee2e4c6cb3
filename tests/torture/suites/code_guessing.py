"""Guess login codes while the server is killed again and again: five tries for a code, one login with the right one.

Also check that sessions, and the end of sessions, that were answered before a kill still hold after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support.process import http_client
from tests.support.server import Api, ApiResponse
from tests.torture.processes import torture_server
from tests.torture.suite import SuiteReport, run_rounds

NAME = "guessing codes over kill -9"
CONTROL = "counts tries in memory"

KILLS = 3  # in a round
PHONES = 12
TRIES = 5
CONCURRENT_LOGINS = 100  # with the right code


def run(folder: Path, seeds: Sequence[int], *, mutant: bool = False) -> SuiteReport:
    return run_rounds(folder, seeds, _round, mutant=mutant)


@dataclass(slots=True)
class AttackedPhone:
    """A phone and its valid code; `wrong_guesses` counts the wrong codes that all server runs have answered."""

    phone: str
    code: str
    wrong_guesses: int = 0


@dataclass(slots=True)
class LoginSession:
    """The tokens that the server gave last; `ended` after a logout."""

    token: str
    refresh_token: str
    used_refresh_tokens: list[str] = field(default_factory=list)
    ended: bool = False


async def _round(folder: Path, random: Random, mutant: bool) -> SuiteReport:
    data, program = folder / "data", "counting-tries-in-memory" if mutant else None
    report, targets, sessions = SuiteReport(), list[AttackedPhone](), list[LoginSession]()
    async with http_client() as http:
        api = Api("", http)
        for _ in range(KILLS):
            async with torture_server(data, program) as server:
                api.base = server.base
                targets = targets or [AttackedPhone(phone, await api.request_code(phone)) for phone in _phones(random)]
                report.add(await _guess(api, targets, random))
                report.add(await _use_sessions(api, sessions, random))
                server.process.kill()
                await server.process.wait()
            report.faults += 1
        async with torture_server(data, program) as server:
            api.base = server.base
            report.add(await _log_in_with_right_codes(api, targets, mutant))
            report.add(await _check_sessions(api, sessions))
            used = [session for session in sessions if session.used_refresh_tokens and not session.ended]
            report.add(await _reuse_refresh_tokens(api, used))
    return report


def _phones(random: Random) -> list[str]:
    return [f"137{number:08}" for number in random.sample(range(10**8), PHONES)]


async def _guess(api: Api, targets: Sequence[AttackedPhone], random: Random) -> SuiteReport:
    """Send up to three wrong codes for each phone at once."""
    report = SuiteReport()
    for target in targets:
        wrong = f"{(int(target.code) + random.randint(1, 999_999)) % 1_000_000:06}"
        answers = await asyncio.gather(*(_log_in(api, target.phone, wrong) for _ in range(random.randint(0, 3))))
        target.wrong_guesses += len(answers)
        report.checked += len(answers)
        report.violations += [f"a wrong code was answered {a.content}" for a in answers if a.status == 200]
    return report


async def _log_in_with_right_codes(api: Api, targets: Sequence[AttackedPhone], mutant: bool) -> SuiteReport:
    """Send each right code a hundred times at once: one login succeeds if tries are left, and none otherwise."""
    report = SuiteReport()
    for target in targets:
        logins = (_log_in(api, target.phone, target.code) for _ in range(CONCURRENT_LOGINS))
        answers = await asyncio.gather(*logins)
        succeeded = sum(answer.status == 200 for answer in answers)
        if succeeded != (target.wrong_guesses < TRIES):
            report.violations.append(
                f"after {target.wrong_guesses} wrong codes, {succeeded} of {CONCURRENT_LOGINS} right ones succeeded"
            )
        report.checked += len(answers)
        if mutant and report.violations:
            break
    return report


async def _use_sessions(api: Api, sessions: list[LoginSession], random: Random) -> SuiteReport:
    """Check the sessions from before the kill. Then log a new user in, refresh two sessions and end one."""
    report = await _check_sessions(api, sessions)
    phone = f"136{random.randrange(10**8):08}"
    for _ in range(3):
        login = (await _log_in(api, phone, await api.request_code(phone))).data
        sessions.append(LoginSession(login["token"], login["refreshToken"]))
    for session in random.sample([s for s in sessions if not s.ended], 2):
        answer = await api.post("/api/auth/refresh", {"refreshToken": session.refresh_token})
        session.used_refresh_tokens.append(session.refresh_token)
        session.token, session.refresh_token = answer.data["token"], answer.data["refreshToken"]
    leaving = random.choice([s for s in sessions if not s.ended])
    assert (await api.post("/api/auth/logout", headers=_bearer(leaving))).status == 200
    leaving.ended = True
    return report


async def _check_sessions(api: Api, sessions: Sequence[LoginSession]) -> SuiteReport:
    report = SuiteReport()
    for session in sessions:
        answer = await api.get("/api/quota", headers=_bearer(session))
        if answer.status != (401 if session.ended else 200):
            state = "an ended" if session.ended else "a running"
            report.violations.append(f"{state} session was answered {answer.content}")
        report.checked += 1
    return report


async def _reuse_refresh_tokens(api: Api, sessions: Sequence[LoginSession]) -> SuiteReport:
    """Use a refresh token twice: it is refused and ends its session, also if the first use was before a kill."""
    report = SuiteReport()
    for session in sessions:
        answer = await api.post("/api/auth/refresh", {"refreshToken": session.used_refresh_tokens[0]})
        after = await api.get("/api/quota", headers=_bearer(session))
        if (answer.status, after.status) != (401, 401):
            report.violations.append(f"a used refresh token was answered {answer.content}, then {after.content}")
        report.checked += 2
    return report


def _bearer(session: LoginSession) -> dict[str, str]:
    return {"Authorization": f"Bearer {session.token}"}


async def _log_in(api: Api, phone: str, code: str) -> ApiResponse:
    return await api.post("/api/auth/login", {"phone": phone, "code": code})
