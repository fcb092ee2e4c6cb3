"""Concurrent clients that write to one server and record its answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from actors.ports import Clock
from tests.support.server import TIMEOUT_SECONDS, Api, ApiResponse, ApiUser
from tests.support.uploads import picture_url, store_picture_file
from tests.torture.expected_state import ExpectedState, RequestKey
from tests.torture.worker import report_status

WRITERS = 64
UNAVAILABLE = 503


@dataclass(slots=True)
class ConcurrentClients:
    """64 writers that share a few users. `data` is the server's data folder.

    `on_answer` is called after each answer was recorded, with the number of answers before it.
    """

    api: Api
    data: Path
    clock: Clock
    random: Random
    users: list[ApiUser] = field(default_factory=list)
    expected: ExpectedState = field(default_factory=ExpectedState)
    violations: list[str] = field(default_factory=list)
    on_answer: Callable[[int], None] = lambda number: None
    _pictures: dict[str, str] = field(default_factory=dict)  # object key by user id
    _key_numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _answer_numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def register_members(self, number: int) -> None:
        """Log users in, with a membership and a picture each."""
        for _ in range(number):
            user = await self.api.new_user()
            self.users.append(user)
            self._pictures[user.id] = store_picture_file(self.data, user)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not await self._buy(user):  # a mutant that answers early may not find its own order yet
                    pass

    async def write(self, requests: int | None = None) -> None:
        """Send writes from 64 writers until the server is gone, or until `requests` were sent."""
        numbers = itertools.count() if requests is None else iter(range(requests))

        async def writer() -> None:
            with suppress(aiohttp.ClientError):
                for _ in numbers:
                    await self._send_random_write()

        await asyncio.gather(*(writer() for _ in range(WRITERS)))

    async def retry_unanswered(self) -> None:
        """Repeat each creation whose answer was lost. Now it must be answered, and its key must have one task."""
        unanswered = list(self.expected.unanswered)
        await asyncio.gather(*(self._create_with_key(self._user(user_id), key) for user_id, key in unanswered))
        self.violations += [f"key {key} was sent again and has no task" for key in self.expected.unanswered]

    async def check_replays(self) -> int:
        """Repeat each answered creation: the JSON of the answer must be the same. Return how many were sent."""
        answers = self.expected.keyed_answers
        replays = await asyncio.gather(*(self._post_creation(self._user(user_id), key) for user_id, key in answers))
        self.violations += [
            f"key {key} was answered {first} and then {replay.status} {replay.content}"
            for ((_, key), first), replay in zip(answers.items(), replays, strict=True)
            if replay.status != 200 or replay.data != first
        ]
        return len(answers)

    def _user(self, user_id: str) -> ApiUser:
        return next(user for user in self.users if user.id == user_id)

    async def _send_random_write(self) -> None:
        user, fraction = self.random.choice(self.users), self.random.random()
        if fraction < 0.45:
            await self._create_with_key(user, f"key {next(self._key_numbers)}")
        elif fraction < 0.65 or not self.expected.task_owners:
            await self._create_without_key(user)
        elif fraction < 0.90:
            await self._report_final_state(self.random.choice(list(self.expected.task_owners)))
        else:
            await self._buy(user)
        self.on_answer(next(self._answer_numbers))

    async def _create_with_key(self, user: ApiUser, key: str) -> None:
        request_key: RequestKey = user.id, key
        self.expected.unanswered[request_key] = None
        response = await self._post_creation(user, key)
        if response.status == 200:
            self.expected.keyed_answers[request_key] = response.data
            self.expected.task_owners[response.data["taskId"]] = user.id
            del self.expected.unanswered[request_key]
        else:
            self._expect_status(response, UNAVAILABLE)

    async def _create_without_key(self, user: ApiUser) -> None:
        self.expected.unanswered_without_key += 1
        response = await self._post_creation(user, None)
        if response.status == 200:
            self.expected.task_owners[response.data["taskId"]] = user.id
            self.expected.unanswered_without_key -= 1
        else:
            self._expect_status(response, UNAVAILABLE)

    async def _post_creation(self, user: ApiUser, key: str | None) -> ApiResponse:
        headers = {} if key is None else {"Idempotency-Key": key}
        url = picture_url(self.api, self.data, self.clock, self._pictures[user.id])
        body = {"type": "basic_clean", "inputImageUrl": url}
        return await self.api.post("/api/task/create", body, user=user, headers=headers)

    async def _report_final_state(self, task_id: str) -> None:
        state = self.random.choice(["success", "failed"])
        response = await report_status(self.api, self.clock, task_id, state)
        if response.status == 200:
            self.expected.final_states[task_id] = state
        else:
            self._expect_status(response, 409, UNAVAILABLE)  # 409: another writer has ended the task before

    async def _buy(self, user: ApiUser) -> bool:
        """Order and pay. Return whether the payment was credited."""
        order = await self.api.post("/api/membership/purchase", {"channel": "wx"}, user=user)
        if order.status != 200:
            self._expect_status(order, UNAVAILABLE)
            return False
        payment = await self.api.post("/sandbox/pay", {"orderId": order.data["orderId"]})
        self._expect_status(payment, 200, UNAVAILABLE)
        credited = payment.status == 200 and bool(payment.data["notified"])
        if credited:
            self.expected.paid_orders[order.data["orderId"]] = user.id
        return credited

    def _expect_status(self, response: ApiResponse, *statuses: int) -> None:
        if response.status not in statuses:
            self.violations.append(f"a request was answered {response.status} {response.content}")
