"""One life of the server process, and the deployment that starts it again."""

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
from storage.engine.database import Database
from tests.torture.simulation.mutants import Variant
from tests.torture.simulation.oracle import Witness
from tests.torture.simulation.schedule import Script
from tests.torture.simulation.services import (
    SimulatedClock,
    SimulatedGateway,
    SimulatedObjects,
    SimulatedPictures,
    SimulatedSms,
)
from tests.torture.simulation.store import FaultyConnection
from tests.torture.simulation.virtual_loop import Life

R = TypeVar("R")

COST = {"basic_clean": 1, "poses": 3}  # nobody here makes poses: they are for workers elsewhere
MEMBERSHIP = MembershipSettings(
    plans=[
        Plan(id="monthly", name="Monthly", price=9900, quota=12, days=30, rollover=True),
        Plan(id="trial", name="Trial", price=100, quota=5, days=3, rollover=False),
    ]
)
ORDER_MINUTES = MEMBERSHIP.order_minutes
AUTH = AuthSettings(
    phone_per_hour=1000,
    phone_per_day=1000,
    prefix_per_hour=1000,
    address_per_hour=1000,
    codes_per_day=1000,
    signup_quota=2,
)
STOP_SECONDS = 300  # an ordered end takes no longer, whatever stalls


class Lost(Exception):
    """The connection broke before an answer came: the outcome is unknown to who asked."""


@dataclass(frozen=True, slots=True)
class World:
    """What a crash of the server does not touch."""

    script: Script
    clock: SimulatedClock
    connection: FaultyConnection
    sms: SimulatedSms
    gateways: Mapping[str, SimulatedGateway]
    folder: Path
    variant: Variant


class Server:
    """The actors over a store, put together, started and stopped in the order of server/system.py."""

    def __init__(self, world: World) -> None:
        self._world, self._life = world, Life()
        self.alive = True
        self.watched: list[asyncio.Future[Any]] = []

    async def start(self) -> None:
        """Raises StorageError, CommitFailed."""
        await self._life.spawn(self._start())

    async def _start(self) -> None:
        world, variant = self._world, self._world.variant
        clock, script = world.clock, world.script
        self.store = variant.store(world.connection, script)
        db = cast(Database, self.store)  # the same promises by the same methods
        self.quota = variant.quota(db, clock)
        self.auth = Auth(
            db, clock, self.quota, world.sms, Tokens(86_400, clock), AuthSecrets("a secret", "a secret"), AUTH
        )
        self.membership = variant.membership(db, clock, self.quota, world.gateways, MEMBERSHIP)
        pictures, objects = SimulatedPictures(script), SimulatedObjects(script)
        self.tasks = variant.tasks(db, clock, self.quota, objects, pictures, 2, COST, world.folder)
        await self.auth.load()
        await self.tasks.recover()
        actors = (self.quota, self.auth, self.membership, self.tasks)
        self.watched = [self.store.failed, *(actor.start() for actor in actors)]

    async def ask(self, message: Message[R]) -> R:
        """As a request does. Raises Lost when the process ends first, or the refusal."""
        request = self._life.spawn(self._actor(message).ask(message))
        await asyncio.wait([request])
        if not self.alive or request.cancelled():
            raise Lost
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
        """What was taken is carried out; raises TimeoutError when that does not end."""
        async with asyncio.timeout(STOP_SECONDS):
            await self._life.spawn(self._stop())
        await asyncio.sleep(0)  # what was answered at the very end still leaves
        await asyncio.sleep(0)
        await self.kill()

    async def _stop(self) -> None:
        self.tasks.drain()
        await self.tasks.stop(7)
        for actor in (self.membership, self.auth, self.quota):
            await actor.stop()
        await self.store.close()

    async def kill(self) -> None:
        self.alive = False
        if hasattr(self, "store"):
            self.store.die()
        await self._life.end()


class Deployment:
    """Keeps a server running, over the same rows."""

    def __init__(self, world: World, witness: Witness) -> None:
        self._world, self._witness = world, witness
        self._server: Server | None = None
        self._up = asyncio.Event()
        self._order: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def ask(self, message: Message[R]) -> R:
        """Send to the server that runs, as soon as one does. Raises Lost, or the refusal."""
        while self._server is None:
            await self._up.wait()
        return await self._server.ask(message)

    async def run(self) -> None:
        """Until somebody says `end("over")`."""
        order = ""
        while order != "over":
            server = await self._started()
            self._server = server
            self._up.set()
            await asyncio.wait([self._order, *server.watched], return_when=asyncio.FIRST_COMPLETED)
            order = self._order.result() if self._order.done() else "stop"
            self._order = asyncio.get_running_loop().create_future()
            await self._ended(server, order)
            self._witness.everything_holds()

    def end(self, how: str) -> None:
        """`kill`, `stop` (and start again), or `over`."""
        if not self._order.done():
            self._order.set_result(how)

    async def _started(self) -> Server:
        while True:
            server = Server(self._world)
            try:
                await server.start()
                return server
            except (StorageError, CommitFailed) as fault:
                self._world.script.step(f"the server cannot start: {fault}")
                await server.kill()

    async def _ended(self, server: Server, order: str) -> None:
        failed, *loops = server.watched
        for loop in loops:
            self._witness.check(not loop.done(), f"{loop} ended by itself")
        self._world.script.step("a commit failed: the server ends" if failed.done() else f"the server ends: {order}")
        if order == "kill":
            self._down()
            await server.kill()
        else:
            try:
                await server.stop()
            except TimeoutError:
                self._witness.check(False, f"an ordered end takes at most {STOP_SECONDS} seconds")
                await server.kill()
            self._down()

    def _down(self) -> None:
        self._server = None
        self._up.clear()
