"""One simulated server process, and the deployment that starts it again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from actors.auth.actor import Auth
from actors.auth.messages import LogIn, SendCode
from actors.auth.settings import AuthSecrets, AuthSettings
from actors.auth.tokens import Tokens
from actors.errors import CommitFailed, StorageError
from actors.membership.messages import GetMembershipStatus, GetOrder, HandleNotification, ListOrders, Purchase
from actors.membership.plans import Plan
from actors.membership.settings import MembershipSettings
from actors.message import Message
from actors.quota.commands import Adjust, Refund
from actors.quota.messages import GetBalance
from actors.runtime import Actor
from actors.task.messages import CreateTask, GetTask, ListTasks, ReportStatus
from actors.task.settings import TaskSettings
from actors.task.task_type import TaskType, TaskTypes
from actors.task.types.basic_clean import BASIC_CLEAN, BasicCleanParams
from storage.engine.database import Database
from tests.torture.simulation.mutants import Variant
from tests.torture.simulation.oracle import Oracle
from tests.torture.simulation.schedule import Schedule
from tests.torture.simulation.services import (
    SimulatedClock,
    SimulatedGateway,
    SimulatedObjects,
    SimulatedPictures,
    SimulatedSms,
)
from tests.torture.simulation.store import FaultyConnection
from tests.torture.simulation.virtual_loop import ProcessTasks

R = TypeVar("R")


POSES = TaskType("poses", BasicCleanParams, stages=("make the poses",), cost=3)  # only external workers make these
TYPES = TaskTypes(BASIC_CLEAN, POSES)
TASKS = TaskSettings(workers=2)
MEMBERSHIP = MembershipSettings(
    plans=[
        Plan(id="monthly", name="Monthly", price=9900, quota=12, days=30, rollover=True),
        Plan(id="trial", name="Trial", price=100, quota=5, days=3, rollover=False),
    ]
)
ORDER_MINUTES = MEMBERSHIP.order_minutes
SECRETS = AuthSecrets("a secret", "a secret")
AUTH = AuthSettings(
    phone_per_hour=1000,
    phone_per_day=1000,
    prefix_per_hour=1000,
    address_per_hour=1000,
    codes_per_day=1000,
    signup_quota=2,
)
STOP_SECONDS = 300  # virtual; an orderly end takes no longer, whatever stalls


class ConnectionLost(Exception):
    """The connection broke before the answer: the client does not know the outcome."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What survives a crash of the server."""

    schedule: Schedule
    clock: SimulatedClock
    connection: FaultyConnection
    sms: SimulatedSms
    gateways: Mapping[str, SimulatedGateway]
    folder: Path
    variant: Variant


class SimulatedServer:
    """The actors on a simulated store, connected, started and stopped in the order of server/system.py."""

    def __init__(self, environment: Environment) -> None:
        self._environment, self._process = environment, ProcessTasks()
        self.running = True
        self.watched: list[asyncio.Future[Any]] = []

    async def start(self) -> None:
        """Start the actors on the store. Raises StorageError, CommitFailed."""
        await self._process.spawn(self._start())

    async def _start(self) -> None:
        environment, variant = self._environment, self._environment.variant
        clock, schedule = environment.clock, environment.schedule
        self.store = variant.store(environment.connection, schedule)
        db = cast(Database, self.store)  # SimulatedStore has the same methods
        self.quota = variant.quota(db, clock)
        self.auth = Auth(db, clock, self.quota, environment.sms, Tokens(86_400, clock), SECRETS, AUTH)
        self.membership = variant.membership(db, clock, self.quota, environment.gateways, MEMBERSHIP)
        pictures, objects = SimulatedPictures(schedule), SimulatedObjects(schedule)
        self.tasks = variant.tasks(db, clock, self.quota, objects, pictures, TASKS, environment.folder, TYPES)
        await self.auth.load()
        await self.tasks.recover()
        actors = (self.quota, self.auth, self.membership, self.tasks)
        self.watched = [self.store.failed, *(actor.start() for actor in actors)]

    async def ask(self, message: Message[R]) -> R:
        """Ask as a request does. Raises ConnectionLost when the process ends first, or the refusal."""
        request = self._process.spawn(self._actor(message).ask(message))
        await asyncio.wait([request])
        if not self.running or request.cancelled():
            raise ConnectionLost
        return request.result()

    def _actor(self, message: Message[Any]) -> Actor:
        routes: Mapping[Actor, tuple[type[Message[Any]], ...]] = {
            self.quota: (Adjust, Refund, GetBalance),
            self.auth: (SendCode, LogIn),
            self.membership: (Purchase, HandleNotification, GetMembershipStatus, GetOrder, ListOrders),
            self.tasks: (CreateTask, GetTask, ListTasks, ReportStatus),
        }
        return next(actor for actor, kinds in routes.items() if isinstance(message, kinds))

    async def stop(self) -> None:
        """Stop after all accepted messages were handled. Raises TimeoutError if that takes too long."""
        async with asyncio.timeout(STOP_SECONDS):
            await self._process.spawn(self._stop())
        await asyncio.sleep(0)  # the last answers still reach their clients
        await asyncio.sleep(0)
        await self.kill()

    async def _stop(self) -> None:
        self.tasks.drain()
        await self.tasks.stop(7)
        for actor in (self.membership, self.auth, self.quota):
            await actor.stop()
        await self.store.close()

    async def kill(self) -> None:
        self.running = False
        if hasattr(self, "store"):
            self.store.abandon()
        await self._process.cancel_all()


class Deployment:
    """Keeps a server running on the same database."""

    def __init__(self, environment: Environment, oracle: Oracle) -> None:
        self._environment, self._oracle = environment, oracle
        self._server: SimulatedServer | None = None
        self._connected = asyncio.Event()
        self._end_requested: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def ask(self, message: Message[R]) -> R:
        """Ask the running server, or wait until one runs. Raises ConnectionLost, or the refusal."""
        while self._server is None:
            await self._connected.wait()
        return await self._server.ask(message)

    async def run(self) -> None:
        """Start servers until `end("over")` is called."""
        how = ""
        while how != "over":
            server = await self._start()
            self._server = server
            self._connected.set()
            await asyncio.wait([self._end_requested, *server.watched], return_when=asyncio.FIRST_COMPLETED)
            how = self._end_requested.result() if self._end_requested.done() else "stop"
            self._end_requested = asyncio.get_running_loop().create_future()
            await self._end(server, how)
            self._oracle.check_all()

    def end(self, how: str) -> None:
        """End the server: "kill" or "stop" it and start another one, or end the run with "over"."""
        if not self._end_requested.done():
            self._end_requested.set_result(how)

    async def _start(self) -> SimulatedServer:
        while True:
            server = SimulatedServer(self._environment)
            try:
                await server.start()
                return server
            except (StorageError, CommitFailed) as error:
                self._environment.schedule.step(f"the server cannot start: {error}")
                await server.kill()

    async def _end(self, server: SimulatedServer, how: str) -> None:
        failed, *loops = server.watched
        for loop in loops:
            self._oracle.check(not loop.done(), f"{loop} ended by itself")
        reason = "a commit failed" if failed.done() else how
        self._environment.schedule.step(f"the server ends: {reason}")
        if how == "kill":
            self._disconnect()
            await server.kill()
        else:
            try:
                await server.stop()
            except TimeoutError:
                self._oracle.check(False, f"an orderly end takes at most {STOP_SECONDS} seconds")
                await server.kill()
            self._disconnect()

    def _disconnect(self) -> None:
        self._server = None
        self._connected.clear()
