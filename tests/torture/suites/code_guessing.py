"""Codes are guessed at while the server is killed again and again: five tries each, and one login for a right one.

And what was answered to those who got in holds over each kill: their sessions, and the end of their sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support.process import http_client, server_process
from tests.support.server import Api, ApiResponse
from tests.torture.suite import Report

NAME = "guessing codes over kill -9"
CONTROL = "counts tries in memory"

LIVES = 3  # of the server, in a round
PHONES = 12
TRIES = 5
AT_ONCE = 100  # right logins
HONEST = ("tests.torture.server",)
BROKEN = (*HONEST, "--broken", "counting-tries-in-memory")
_SETTINGS = {"TASKS__WORKERS": "0"}


def run(folder: Path, seeds: Sequence[int], *, broken: bool = False) -> Report:
    report = Report()
    for seed in seeds:
        found = asyncio.run(_round(folder / str(seed) / "data", Random(seed), BROKEN if broken else HONEST))
        found.violations = [f"seed {seed}: {violation}" for violation in found.violations]
        report.add(found)
    return report


@dataclass(slots=True)
class Target:
    """A phone with a code that is guessed at: `wrong` answers were given so far, over all lives of the server."""

    phone: str
    code: str
    wrong: int = 0


@dataclass(slots=True)
class Session:
    """What its owner was last told; `ended` when that was a logout."""

    token: str
    refresh_token: str
    spent: list[str] = field(default_factory=list)
    ended: bool = False


async def _round(data: Path, random: Random, program: Sequence[str]) -> Report:
    data.parent.mkdir(parents=True)
    report, targets, sessions = Report(), list[Target](), list[Session]()
    async with http_client() as http:
        api = Api("", http)
        for life in range(LIVES):
            async with server_process(data, program, **_SETTINGS) as server:
                api.base = server.base
                if life == 0:
                    targets = [Target(phone, await api.request_code(phone)) for phone in _phones(random)]
                report.add(await _guess(api, targets, random))
                report.add(await _live(api, sessions, random))
                server.process.kill()
                await server.process.wait()
            report.faults += 1
        async with server_process(data, program, **_SETTINGS) as server:
            api.base = server.base
            report.add(await _get_in(api, targets))
            report.add(await _check_sessions(api, sessions))
            report.add(await _reuse(api, [session for session in sessions if session.spent and not session.ended]))
    return report


def _phones(random: Random) -> list[str]:
    return [f"137{number:08}" for number in random.sample(range(10**8), PHONES)]


async def _guess(api: Api, targets: Sequence[Target], random: Random) -> Report:
    """Some wrong codes for each phone, at the same moment."""
    report = Report()
    for target in targets:
        wrong = f"{(int(target.code) + random.randint(1, 999_999)) % 1_000_000:06}"
        answers = await asyncio.gather(*(_log_in(api, target.phone, wrong) for _ in range(random.randint(0, 3))))
        target.wrong += len(answers)
        report.checked += len(answers)
        report.violations += [f"a wrong code was answered {a.content}" for a in answers if a.status == 200]
    return report


async def _get_in(api: Api, targets: Sequence[Target]) -> Report:
    """The right code, a hundred times at once: one login where tries are left, and none where not."""
    report = Report()
    for target in targets:
        answers = await asyncio.gather(*(_log_in(api, target.phone, target.code) for _ in range(AT_ONCE)))
        won = sum(answer.status == 200 for answer in answers)
        if won != (target.wrong < TRIES):
            report.violations.append(f"after {target.wrong} wrong codes the right one let {won} in of {AT_ONCE}")
        report.checked += len(answers)
    return report


async def _live(api: Api, sessions: list[Session], random: Random) -> Report:
    """What was answered before the kill holds; then somebody new comes, somebody goes on, and somebody leaves."""
    report = await _check_sessions(api, sessions)
    phone = f"136{random.randrange(10**8):08}"
    for _ in range(3):
        login = (await _log_in(api, phone, await api.request_code(phone))).data
        sessions.append(Session(login["token"], login["refreshToken"]))
    for session in random.sample([s for s in sessions if not s.ended], 2):
        answer = await api.post("/api/auth/refresh", {"refreshToken": session.refresh_token})
        session.spent.append(session.refresh_token)
        session.token, session.refresh_token = answer.data["token"], answer.data["refreshToken"]
    leaving = random.choice([s for s in sessions if not s.ended])
    assert (await api.post("/api/auth/logout", headers=_bearer(leaving))).status == 200
    leaving.ended = True
    return report


async def _check_sessions(api: Api, sessions: Sequence[Session]) -> Report:
    report = Report()
    for session in sessions:
        answer = await api.get("/api/quota", headers=_bearer(session))
        if answer.status != (401 if session.ended else 200):
            report.violations.append(f"a session that {'has ended' if session.ended else 'lives'} got {answer.content}")
        report.checked += 1
    return report


async def _reuse(api: Api, sessions: Sequence[Session]) -> Report:
    """A token that was spent, in whatever life of the server, ends its session."""
    report = Report()
    for session in sessions:
        answer = await api.post("/api/auth/refresh", {"refreshToken": session.spent[0]})
        after = await api.get("/api/quota", headers=_bearer(session))
        if (answer.status, after.status) != (401, 401):
            report.violations.append(f"a spent refresh token was answered {answer.content}, and then {after.content}")
        report.checked += 2
    return report


def _bearer(session: Session) -> dict[str, str]:
    return {"Authorization": f"Bearer {session.token}"}


async def _log_in(api: Api, phone: str, code: str) -> ApiResponse:
    return await api.post("/api/auth/login", {"phone": phone, "code": code})
