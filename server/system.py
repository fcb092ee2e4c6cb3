"""The one place where storage, actors and gateways are put together."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web

from actors.auth.actor import Auth
from actors.auth.messages import CheckAdmin
from actors.auth.settings import AuthSecrets
from actors.auth.tokens import Caller, Tokens
from actors.errors import CommitFailed, StorageError
from actors.membership.actor import Membership
from actors.ports import Channel, Clock, PaymentGateway, SmsSender
from actors.quota.actor import Quota
from actors.runtime import Actor, Ping
from actors.task.actor import Tasks
from actors.task.media import Media
from actors.task.registry import TASK_TYPES
from actors.task.task_type import TaskTypes
from server.clock import SystemClock
from server.due_work import DueWork
from server.gateways.objects.local import LocalObjects
from server.gateways.pictures.pool import PictureProcesses
from server.gateways.sms.factory import create_sender
from server.gateways.sms.settings import SANDBOX_NAMES
from server.http.address import ClientAddress
from server.http.app import build_app
from server.http.cors import Cors
from server.http.route import AnyRoute
from server.http.routes.admin import AdminRoutes
from server.http.routes.auth import AuthRoutes
from server.http.routes.files import FileRoutes
from server.http.routes.health import HealthRoutes
from server.http.routes.media import MediaRoutes
from server.http.routes.membership import MembershipRoutes
from server.http.routes.metrics import MetricRoutes
from server.http.routes.quota import QuotaRoutes
from server.http.routes.task import TaskRoutes
from server.http.worker_signature import WorkerSignature
from server.operator.command import Actors
from server.operator.socket import OperatorSocket
from server.sandbox.clock import ClockUnreadable
from server.sandbox.sandbox import Sandbox
from server.settings.model import Settings
from storage import heartbeat
from storage.engine.database import Database
from storage.engine.lock import FolderInUse
from storage.engine.migrate import UnknownSchema

log = structlog.stdlib.get_logger("darkroom")

DRAIN_SECONDS = 7  # for pictures that are being made at shutdown; the next start makes unfinished ones again


class CannotStart(Exception):
    """The data folder cannot be used. The message says why and what to do."""


class System:
    """All parts of a running server, from `start()` to `stop()`.

    `base_url` is the URL at which clients reach the server. All parts use the same clock: in development mode that of
    the sandbox, which adds an offset to `clock`.
    """

    def __init__(
        self, settings: Settings, base_url: str, db: Database, clock: Clock, task_types: TaskTypes = TASK_TYPES
    ) -> None:
        self._settings, self._db, self._machine_clock = settings, db, clock
        self._sandbox = self._create_sandbox(base_url) if settings.mode == "development" else None
        self._clock = clock = clock if self._sandbox is None else self._sandbox.clock
        self._work_folder = settings.data / "work"
        self._task_types = task_types
        secrets = settings.secrets
        self._store = LocalObjects(settings.data / "pictures", base_url, secrets.media.get_secret_value(), clock)
        # Uploads have a process of their own, so that a flood of uploads delays no task that was paid for.
        self._uploads, self._pictures = self._picture_processes(1), self._picture_processes(settings.tasks.workers)
        self._tokens = Tokens(settings.auth.token_days * 86_400, clock)
        self._sms = self._create_sender()
        self._quota = Quota(db, clock)
        auth_secrets = AuthSecrets(secrets.token.get_secret_value(), secrets.code.get_secret_value())
        self._auth = Auth(db, clock, self._quota, self._sms, self._tokens, auth_secrets, settings.auth)
        self._membership = Membership(db, clock, self._quota, self._payment_gateways(), settings.membership)
        self._tasks = Tasks(
            db,
            clock,
            self._quota,
            self._store,
            self._pictures,
            settings.tasks,
            self._work_folder,
            task_types,
        )
        self._operator = OperatorSocket(settings.data, Actors(self._auth, self._tasks))
        self._loops: list[asyncio.Task[None]] = []

    @classmethod
    async def start(
        cls, settings: Settings, base_url: str, clock: Clock | None = None, task_types: TaskTypes = TASK_TYPES
    ) -> System:
        """Open the data folder and start every part. Raises CannotStart."""
        try:
            db = await Database.open(settings.data)
        except (FolderInUse, StorageError, UnknownSchema, OSError) as fault:
            raise CannotStart(str(fault)) from fault
        try:
            system = cls(settings, base_url, db, clock or SystemClock(), task_types)
        except BaseException as fault:
            await db.close()  # otherwise its threads would keep the process alive
            if isinstance(fault, ClockUnreadable):
                raise CannotStart(str(fault)) from fault
            raise
        try:
            await system._start()
        except BaseException as fault:
            await system.stop()
            if isinstance(fault, (StorageError, CommitFailed, OSError)):
                raise CannotStart(f"{settings.data}: {fault}") from fault
            raise
        return system

    async def _start(self) -> None:
        self._store.prepare()
        shutil.rmtree(self._work_folder, ignore_errors=True)
        self._work_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._uploads.start()
        await self._pictures.start()
        if self._sandbox is not None:
            await self._sandbox.start()
        await self._auth.load()
        await self._tasks.recover()
        self._loops = [actor.start() for actor in self._actors]
        await self._operator.open()

    async def stop(self) -> None:
        """Finish what was accepted. An actor stops before the actors that it asks, and storage stops last."""
        self._operator.close()
        self._tasks.drain()
        await self._tasks.stop(DRAIN_SECONDS)
        for actor in (self._membership, self._auth, self._quota):
            await actor.stop()
        await asyncio.gather(self._uploads.stop(), self._pictures.stop())
        await self._sms.close()
        if self._sandbox is not None:
            await self._sandbox.stop()
        await self._db.close()

    async def failed(self) -> BaseException:
        """Wait for a fault after which the process has to end. The next start recovers from the rows."""
        watched: list[asyncio.Future[Any]] = [*self._loops, self._db.failed]
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        ended = done.pop()
        return ended.exception() or ended.result() or RuntimeError("the loop of an actor ended")

    def app(self) -> web.Application:
        """Return the HTTP application of this system."""
        origins = None if self._sandbox is not None else self._settings.server.cors_origins
        https = self._settings.server.public_url.startswith("https://")
        app = build_app(self._routes(), self._tokens, self._check_admin, Cors(origins), https=https)
        if self._sandbox is not None:
            app.on_shutdown.append(self._sandbox.stop_clock)
        return app

    @property
    def _actors(self) -> list[Actor]:
        return [self._quota, self._auth, self._membership, self._tasks]

    def _routes(self) -> list[AnyRoute]:
        address = ClientAddress(self._settings.server.trusted_proxies)
        internal_secret = self._settings.secrets.internal.get_secret_value()
        signature = WorkerSignature(internal_secret, [self._clock, self._machine_clock])
        metrics_token = self._settings.metrics.token.get_secret_value()
        return [
            *AuthRoutes(self._auth, self._quota, address).routes(),
            *AdminRoutes(self._auth).routes(),
            *MembershipRoutes(self._membership, self._clock).routes(),
            *QuotaRoutes(self._quota).routes(),
            *TaskRoutes(self._tasks, self._task_types, self._store, self._clock, signature).routes(),
            *MediaRoutes(Media(self._store)).routes(),
            *FileRoutes(self._store, self._uploads, self._tasks).routes(),
            *HealthRoutes({"storage": self._write, "actors": self._ping}).routes(),
            *MetricRoutes(metrics_token, local=self._sandbox is not None).routes(),
            *(self._sandbox.routes(self._due_work()) if self._sandbox is not None else []),
        ]

    def _due_work(self) -> DueWork:
        return DueWork([self._quota, self._membership, self._auth, self._tasks], self._clock)

    async def _check_admin(self, caller: Caller) -> None:
        await self._auth.ask(CheckAdmin(caller.user_id))

    async def _write(self) -> None:
        now = self._clock.now()
        await self._db.write(lambda connection: heartbeat.beat(connection, now))

    async def _ping(self) -> None:
        await asyncio.gather(*(actor.ask(Ping()) for actor in self._actors))

    def _picture_processes(self, count: int) -> PictureProcesses:
        limits = self._settings.pictures
        return PictureProcesses(max(1, count), memory_bytes=limits.memory_mb * 1024 * 1024, seconds=limits.seconds)

    def _create_sandbox(self, base_url: str) -> Sandbox:
        secret = self._settings.secrets.internal.get_secret_value()
        return Sandbox(self._settings.data / "sandbox", base_url, secret, self._machine_clock)

    def _create_sender(self) -> SmsSender:
        if self._sandbox is not None and self._settings.sms.sender in SANDBOX_NAMES:
            return self._sandbox.inbox
        return create_sender(self._settings.sms)

    def _payment_gateways(self) -> Mapping[str, PaymentGateway]:
        if self._sandbox is not None:
            return {channel: self._sandbox.gateway(channel) for channel in Channel}
        log.warning("no payment gateway is configured: users cannot buy anything")
        return {}
