"""Many people who write to one server at once, and note what they were answered."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from actors.ids import new_id
from actors.ports import Clock
from server.gateways.objects.local import LocalObjects
from server.http.worker_signature import SIGNATURE, TIMESTAMP, sign
from tests.support.server import SECRETS, TIMEOUT_SECONDS, Api, ApiResponse, User
from tests.torture.expected_state import Key, Promises

WRITERS = 64
PLENTY = [{"id": "plenty", "name": "Plenty", "price": 1, "quota": 100_000, "days": 30}]
BUSY = 503
_RESULT = "https://pictures.example/white-bg.png"


@dataclass(slots=True)
class Crowd:
    """`data` is the server's folder: pictures are put there directly, since none of them is looked at.

    `answered` is called with the number of answers so far, after each of them was noted.
    """

    api: Api
    data: Path
    clock: Clock
    random: Random
    people: list[User] = field(default_factory=list)
    promises: Promises = field(default_factory=Promises)
    violations: list[str] = field(default_factory=list)
    answered: Callable[[int], None] = lambda number: None
    _pictures: dict[str, str] = field(default_factory=dict)  # object key by user id
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _answers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def gather(self, members: int) -> None:
        """Log some people in, with a membership and a picture each."""
        for _ in range(members):
            person = await self.api.new_user()
            self.people.append(person)
            self._pictures[person.id] = place_picture(self.data, person)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not await self._buy(person):  # a broken server may not know yet of an order it has answered
                    pass

    async def write(self, requests: int | None = None) -> None:
        """64 writers at once, until the server is gone or has been sent so many requests."""
        left = itertools.count() if requests is None else iter(range(requests))

        async def writer() -> None:
            with suppress(aiohttp.ClientError):
                for _ in left:
                    await self._act()

        await asyncio.gather(*(writer() for _ in range(WRITERS)))

    async def settle_unanswered(self) -> None:
        """Send each creation again whose answer was lost: now it is answered, and stands for one task."""
        lost = list(self.promises.unanswered)
        await asyncio.gather(*(self._create_with_key(self._person(user_id), key) for user_id, key in lost))
        self.violations += [f"key {key} was tried again and has no task" for key in self.promises.unanswered]

    async def check_replays(self) -> int:
        """Send each answered creation again: the answer must be the same JSON. How many were sent."""
        answers = self.promises.keyed
        replays = await asyncio.gather(*(self._post_creation(self._person(user_id), key) for user_id, key in answers))
        self.violations += [
            f"key {key} was answered {before}, and again {again.status} {again.content}"
            for ((_, key), before), again in zip(answers.items(), replays, strict=True)
            if again.status != 200 or again.data != before
        ]
        return len(answers)

    def _person(self, user_id: str) -> User:
        return next(person for person in self.people if person.id == user_id)

    async def _act(self) -> None:
        person, dice = self.random.choice(self.people), self.random.random()
        if dice < 0.45:
            await self._create_with_key(person, f"key {next(self._numbers)}")
        elif dice < 0.65 or not self.promises.tasks:
            await self._create(person)
        elif dice < 0.90:
            await self._report(self.random.choice(list(self.promises.tasks)))
        else:
            await self._buy(person)
        self.answered(next(self._answers))

    async def _create_with_key(self, person: User, name: str) -> None:
        key: Key = person.id, name
        self.promises.unanswered[key] = None
        answer = await self._post_creation(person, name)
        if answer.status == 200:
            self.promises.keyed[key] = answer.data
            self.promises.tasks[answer.data["taskId"]] = person.id
            del self.promises.unanswered[key]
        else:
            self._expect(answer, BUSY)

    async def _create(self, person: User) -> None:
        self.promises.strays += 1
        answer = await self._post_creation(person, None)
        if answer.status == 200:
            self.promises.tasks[answer.data["taskId"]] = person.id
            self.promises.strays -= 1
        else:
            self._expect(answer, BUSY)

    async def _post_creation(self, person: User, key: str | None) -> ApiResponse:
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"type": "basic_clean", "inputImageUrl": self.picture(person)}
        return await self.api.post("/api/task/create", body, user=person, headers=headers)

    async def _report(self, task_id: str) -> None:
        state = self.random.choice(["success", "failed"])
        answer = await report(self.api, self.clock, task_id, state)
        if answer.status == 200:
            self.promises.ended[task_id] = state
        else:
            self._expect(answer, 409, BUSY)  # somebody else has ended it before

    async def _buy(self, person: User) -> bool:
        """Order and pay; whether the payment has been credited."""
        order = await self.api.post("/api/membership/purchase", {"channel": "wx"}, user=person)
        if order.status != 200:
            self._expect(order, BUSY)
            return False
        payment = await self.api.post("/sandbox/pay", {"orderId": order.data["orderId"]})
        self._expect(payment, 200, BUSY)
        credited = payment.status == 200 and bool(payment.data["notified"])
        if credited:
            self.promises.paid[order.data["orderId"]] = person.id
        return credited

    def picture(self, person: User) -> str:
        """The address this server gives to the person's picture."""
        store = LocalObjects(self.data / "pictures", self.api.base, SECRETS["media"], self.clock)
        return store.sign_download(self._pictures[person.id])

    def _expect(self, answer: ApiResponse, *statuses: int) -> None:
        if answer.status not in statuses:
            self.violations.append(f"answered {answer.status} {answer.content}")


def place_picture(data: Path, person: User) -> str:
    """The key of a file that lies where an upload would have put it."""
    key = f"input/{person.id}/{new_id()}/{new_id()}.png"
    path = data / "pictures" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"stands for a picture that was admitted")
    return key


async def report(api: Api, clock: Clock, task_id: str, state: str) -> ApiResponse:
    """Report a final state as a worker outside the server does."""
    path = f"/api/task/{task_id}/status"
    body = json.dumps({"status": state, "resultUrls": [_RESULT]}).encode()
    timestamp = str(clock.now() // 1000)
    signature = sign(SECRETS["internal"].encode(), timestamp, "PUT", path, body)
    return await api.put(path, raw=body, headers={TIMESTAMP: timestamp, SIGNATURE: signature})
