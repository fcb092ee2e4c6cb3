"""The one place where storage, actors and gateways are put together."""

from __future__ import annotations

import asyncio
import calendar
import shutil
from collections.abc import Mapping
from datetime import date
from typing import Any

import structlog
from aiohttp import web

from actors.auth.actor import Auth
from actors.auth.messages import CheckAdmin
from actors.auth.settings import AuthSettings, SendingLimits, TestNumber
from actors.auth.tokens import Caller, Tokens
from actors.membership.actor import Membership, Plan
from actors.ports import Channel, Clock, PaymentGateway, SmsSender
from actors.quota.actor import Quota
from actors.runtime import Actor, Ping
from actors.task.actor import Tasks, TaskSettings
from actors.task.media import Media
from server.clock import SystemClock
from server.gateways.objects.local import LocalObjects
from server.gateways.pictures.pool import PictureProcesses
from server.gateways.sms import factory
from server.http.address import ClientAddress
from server.http.app import build_app
from server.http.cors import Cors
from server.http.metrics import MetricRoutes
from server.http.route import AnyRoute
from server.http.routes.admin import AdminRoutes
from server.http.routes.auth import AuthRoutes
from server.http.routes.files import FileRoutes
from server.http.routes.health import HealthRoutes
from server.http.routes.media import MediaRoutes
from server.http.routes.membership import MembershipRoutes
from server.http.routes.quota import QuotaRoutes
from server.http.routes.task import TaskRoutes
from server.http.worker_signature import WorkerSignature
from server.operator.socket import OperatorSocket
from server.sandbox.sandbox import Sandbox
from server.settings.model import Settings
from storage.engine import heartbeat
from storage.engine.database import CommitFailed, Database, StorageError
from storage.engine.lock import FolderInUse
from storage.engine.migrate import UnknownSchema

log = structlog.stdlib.get_logger("darkroom")

DRAIN_SECONDS = 7  # what pictures under way get at shutdown; those that need longer are made again at the next start


class CannotStart(Exception):
    """The data folder cannot be used; the message says why and what to do."""


class System:
    """Everything that runs, from `start()` to `stop()`. `base_url` is how the outside reaches the server."""

    def __init__(self, config: Settings, base_url: str, db: Database, clock: Clock) -> None:
        self._config, self._db, self._clock = config, db, clock
        secrets = config.secrets
        self._store = LocalObjects(config.data / "pictures", base_url, secrets.media.get_secret_value(), clock)
        # Uploads have a process of their own: whoever floods it keeps nobody's paid task waiting.
        self._uploads, self._pictures = (
            PictureProcesses(
                count, memory_bytes=config.pictures.memory_mb * 1024 * 1024, seconds=config.pictures.seconds
            )
            for count in (1, max(1, config.tasks.workers))
        )
        self._sandbox = (
            Sandbox(config.data / "sandbox", base_url, secrets.internal.get_secret_value(), clock)
            if config.mode == "development"
            else None
        )
        self._tokens = Tokens(config.auth.token_days * 86_400, clock)
        self._sms = self._sender()
        self._quota = Quota(db, clock)
        self._auth = Auth(
            db, clock, self._quota, self._sms, self._tokens, secrets.token.get_secret_value(), _auth_settings(config)
        )
        self._membership = Membership(
            db, clock, self._quota, self._gateways(), _plans(config), config.membership.order_minutes
        )
        self._tasks = Tasks(db, clock, self._quota, self._store, self._pictures, _task_settings(config))
        self._operator = OperatorSocket(config.data, self._auth)
        self._loops: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, config: Settings, base_url: str, clock: Clock | None = None) -> System:
        """Raises CannotStart."""
        try:
            db = await Database.open(config.data)
        except (FolderInUse, StorageError, UnknownSchema, OSError) as fault:
            raise CannotStart(str(fault)) from fault
        try:
            system = cls(config, base_url, db, clock or SystemClock())
        except BaseException:
            await db.close()  # its threads would keep the process alive
            raise
        try:
            await system._start()
        except BaseException as fault:
            await system.stop()
            if isinstance(fault, (StorageError, CommitFailed, OSError)):
                raise CannotStart(f"{config.data}: {fault}") from fault
            raise
        return system

    async def _start(self) -> None:
        self._store.prepare()
        work = _task_settings(self._config).folder
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._uploads.start()
        await self._pictures.start()
        if self._sandbox is not None:
            await self._sandbox.start()
        await self._auth.load()
        await self._tasks.recover()
        self._loops = [actor.start() for actor in self._actors]
        await self._operator.open()

    async def stop(self) -> None:
        """Finish what was taken, the upper actors before those they ask, and storage at the very end."""
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
        """Wait for the fault after which the process has to end: rows are the truth, start-up recovers from them."""
        watched: list[asyncio.Future[Any]] = [*self._loops, self._db.failed]
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        ended = done.pop()
        return ended.exception() or ended.result() or RuntimeError("an actor's loop ended")

    def app(self) -> web.Application:
        origins = None if self._sandbox is not None else self._config.server.cors_origins
        https = self._config.server.public_url.startswith("https://")
        return build_app(self._routes(), self._tokens, self._check_admin, Cors(origins), https=https)

    @property
    def _actors(self) -> list[Actor]:
        return [self._quota, self._auth, self._membership, self._tasks]

    def _routes(self) -> list[AnyRoute]:
        media = Media(self._store)
        address = ClientAddress(self._config.server.trusted_proxies)
        signature = WorkerSignature(self._config.secrets.internal.get_secret_value(), self._clock)
        return [
            *AuthRoutes(self._auth, self._quota, address).routes(),
            *AdminRoutes(self._auth).routes(),
            *MembershipRoutes(self._membership, self._clock).routes(),
            *QuotaRoutes(self._quota).routes(),
            *TaskRoutes(self._tasks, media, self._store, signature).routes(),
            *MediaRoutes(media).routes(),
            *FileRoutes(self._store, self._uploads).routes(),
            *HealthRoutes({"storage": self._write, "actors": self._ping}).routes(),
            *MetricRoutes(self._config.metrics.token.get_secret_value(), local=self._sandbox is not None).routes(),
            *(self._sandbox.routes() if self._sandbox is not None else []),
        ]

    async def _check_admin(self, caller: Caller) -> None:
        await self._auth.ask(CheckAdmin(caller.user_id))

    async def _write(self) -> None:
        now = self._clock.now()
        await self._db.write(lambda connection: heartbeat.beat(connection, now))

    async def _ping(self) -> None:
        await asyncio.gather(*(actor.ask(Ping()) for actor in self._actors))

    def _sender(self) -> SmsSender:
        if self._sandbox is not None and self._config.sms.sender in ("", "sandbox"):
            return self._sandbox.inbox
        return factory.sender(self._config.sms)

    def _gateways(self) -> Mapping[str, PaymentGateway]:
        if self._sandbox is not None:
            return {channel: self._sandbox.gateway(channel) for channel in Channel}
        log.warning("no payment gateway is configured: nothing can be bought")
        return {}


def _auth_settings(config: Settings) -> AuthSettings:
    auth = config.auth
    return AuthSettings(
        code_secret=config.secrets.code.get_secret_value(),
        limits=SendingLimits(
            phone_per_minute=auth.phone_per_minute,
            phone_per_hour=auth.phone_per_hour,
            phone_per_day=auth.phone_per_day,
            prefix_per_hour=auth.prefix_per_hour,
            address_per_hour=auth.address_per_hour,
            codes_per_day=auth.codes_per_day,
        ),
        code_minutes=auth.code_minutes,
        refresh_days=auth.refresh_days,
        failures=auth.failures,
        lock_minutes=auth.lock_minutes,
        signup_quota=auth.signup_quota,
        test_numbers={n.phone: TestNumber(n.code.get_secret_value(), _end_of(n.until)) for n in auth.test_numbers},
    )


def _end_of(day: date | None) -> int | None:
    """The end of a day (UTC) in epoch milliseconds."""
    return None if day is None else (calendar.timegm(day.timetuple()) + 86_400) * 1000


def _plans(config: Settings) -> list[Plan]:
    return [Plan(p.id, p.name, p.price, p.quota, p.days, p.rollover) for p in config.membership.plans]


def _task_settings(config: Settings) -> TaskSettings:
    return TaskSettings(config.tasks.workers, config.tasks.cost.model_dump(), config.data / "work")
