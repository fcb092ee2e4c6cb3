"""Simulated services: the clock, picture workers, the object store, text messages and payment gateways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from actors.errors import FileMissing, Overloaded, ServiceUnavailable, SignatureInvalid
from actors.ports import (
    Acknowledgement,
    Invoice,
    Notification,
    Payment,
    PaymentForm,
    PaymentState,
    PictureRefused,
    PictureTemplate,
    UploadTicket,
)
from tests.torture.simulation.schedule import Schedule

START = 1_795_420_800_000  # epoch milliseconds
HANG_SECONDS = 86_400.0  # virtual; every caller gives up long before


class SimulatedClock:
    """Shows the virtual time plus all jumps so far. It never goes back."""

    def __init__(self) -> None:
        self._offset = START

    def now(self) -> int:
        return self._offset + round(asyncio.get_running_loop().time() * 1000)

    def jump(self, milliseconds: int) -> None:
        self._offset += milliseconds


class SimulatedPictures:
    """Picture workers that succeed, refuse, raise, or hang until they are cancelled."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    async def admit(self, source: Path, target: Path) -> None:
        raise NotImplementedError

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        schedule = self._schedule
        await asyncio.sleep(schedule.pause(3))
        if schedule.fault("a picture worker hangs", 0.04):
            await asyncio.sleep(HANG_SECONDS)
        for kind, error in {
            "a picture worker dies": OSError("the worker died"),
            "no picture worker starts": Overloaded(retry_after=1),
            "a picture worker has a bug": ZeroDivisionError(),
        }.items():
            if schedule.fault(kind, 0.05):
                raise error
        if schedule.chance(0.15):
            raise PictureRefused("no_garment")
        picture = folder / "matting.png"
        picture.write_bytes(b"picture")
        return [picture]


class SimulatedObjects:
    """An ObjectStore without objects."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def sign_upload(self, key: str) -> UploadTicket:
        raise NotImplementedError

    def sign_download(self, key: str) -> str:
        raise NotImplementedError

    def key_from_url(self, url: str) -> str | None:
        return url

    async def exists(self, key: str) -> bool:
        return True

    async def fetch(self, key: str, target: Path) -> None:
        if self._schedule.chance(0.02):
            raise FileMissing
        await self._move("an input cannot be read")

    async def put(self, key: str, source: Path) -> None:
        await self._move("a result cannot be stored")

    async def delete(self, key: str) -> None:
        await self._move("a picture cannot be deleted")

    async def objects(self) -> AsyncIterator[Sequence[tuple[str, int]]]:
        yield []

    async def _move(self, kind: str) -> None:
        await asyncio.sleep(self._schedule.pause(0.05))
        if self._schedule.fault(kind, 0.03):
            raise OSError(kind)


class SimulatedSms:
    """Keeps the last code of each phone. A message may get lost."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.codes: dict[str, str] = {}

    async def send(self, phone: str, code: str, minutes: int) -> None:
        await asyncio.sleep(self._schedule.pause(0.5))
        if self._schedule.fault("a text message gets lost", 0.1):
            raise ServiceUnavailable(service="sms", retry_after=5)
        self.codes[phone] = code

    async def close(self) -> None:
        """There is nothing to close."""


class SimulatedGateway:
    """A payment gateway. Its trades survive every crash of the server."""

    acknowledgement = Acknowledgement("text/plain", b"taken")

    def __init__(self, channel: str, schedule: Schedule) -> None:
        self.channel, self._schedule = channel, schedule
        self.trades: dict[str, Payment] = {}

    async def prepare(self, invoice: Invoice) -> PaymentForm:
        await self._call()
        self.trades.setdefault(invoice.order_id, Payment(invoice.order_id, PaymentState.UNPAID, invoice.amount, ""))
        await self._call()
        return PaymentForm({}, f"{self.channel}:{invoice.order_id}")

    def recognizes(self, notification: Notification) -> bool:
        return notification.headers["channel"] == self.channel

    def verify_notification(self, notification: Notification) -> Payment:
        if notification.headers["signature"] != "good":
            raise SignatureInvalid
        body = json.loads(notification.body)
        return Payment(body["order"], PaymentState(body["state"]), body["amount"], body["transaction"])

    async def query(self, order_id: str) -> Payment:
        await self._call(may_be_invalid=True)
        payment = self.trades.get(order_id, Payment(order_id, PaymentState.UNPAID, 0, ""))
        await self._call()
        return payment

    async def close(self, order_id: str) -> Payment:
        await self._call(may_be_invalid=True)
        payment = self.trades.get(order_id, Payment(order_id, PaymentState.UNPAID, 0, ""))
        if payment.state is PaymentState.UNPAID:
            payment = self.trades[order_id] = replace(payment, state=PaymentState.CLOSED)
        await self._call()
        return payment

    def pay(self, order_id: str, state: PaymentState) -> bool:
        """End a trade with the buyer's payment or its failure. Return False if the trade had ended before."""
        payment = self.trades[order_id]
        if payment.state is not PaymentState.UNPAID:
            return False
        transaction = f"{self.channel} {order_id}" if state is PaymentState.PAID else ""
        self.trades[order_id] = replace(payment, state=state, transaction_id=transaction)
        return True

    async def _call(self, *, may_be_invalid: bool = False) -> None:
        await asyncio.sleep(self._schedule.pause(0.2))
        if self._schedule.fault("a gateway hangs", 0.03):
            await asyncio.sleep(HANG_SECONDS)
        if self._schedule.fault("a gateway fails", 0.06):
            raise ServiceUnavailable(service="payment", retry_after=5)
        if may_be_invalid and self._schedule.fault("a gateway's answer is invalid", 0.04):
            raise ValueError("invalid answer")


def notification(channel: str, payment: Payment, signature: str = "good") -> Notification:
    body = {
        "order": payment.order_id,
        "state": payment.state,
        "amount": payment.amount,
        "transaction": payment.transaction_id,
    }
    return Notification({"channel": channel, "signature": signature}, json.dumps(body).encode())
