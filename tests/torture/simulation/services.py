"""The outside as the script wants it: the time, picture workers, the object store, text messages and gateways."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from actors.errors import FileMissing, Overloaded, ServiceUnavailable, SignatureInvalid
from actors.ports import (
    Acknowledgement,
    Invoice,
    Notification,
    Payment,
    PaymentRequest,
    PaymentState,
    PictureRefused,
    PictureTemplate,
    UploadTicket,
)
from tests.torture.simulation.schedule import Script

START = 1_795_420_800_000  # epoch milliseconds
FOR_EVER = 86_400.0  # seconds; somebody gives up long before


class SimulatedClock:
    """Follows the virtual time, but for leaps; it never goes back."""

    def __init__(self) -> None:
        self._ahead = START

    def now(self) -> int:
        return self._ahead + round(asyncio.get_running_loop().time() * 1000)

    def leap(self, milliseconds: int) -> None:
        self._ahead += milliseconds


class SimulatedPictures:
    """PictureWorkers that succeed, refuse, raise, or hang until they are cancelled."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def admit(self, source: Path, target: Path) -> None:
        raise NotImplementedError

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        script = self._script
        await asyncio.sleep(script.pause(3))
        if script.fault("a picture worker hangs", 0.04):
            await asyncio.sleep(FOR_EVER)
        for kind, fault in {
            "a picture worker dies": OSError("the worker died"),
            "no picture worker starts": Overloaded(retry_after=1),
            "a picture worker has a bug": ZeroDivisionError(),
        }.items():
            if script.fault(kind, 0.05):
                raise fault
        if script.chance(0.15):
            raise PictureRefused("no_garment")
        return [folder / "matting.png"]


class SimulatedObjects:
    """An ObjectStore without objects."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def sign_upload(self, key: str) -> UploadTicket:
        raise NotImplementedError

    def sign_download(self, key: str) -> str:
        raise NotImplementedError

    def key_from_url(self, url: str) -> str | None:
        raise NotImplementedError

    async def exists(self, key: str) -> bool:
        return True

    async def fetch(self, key: str, target: Path) -> None:
        if self._script.chance(0.02):
            raise FileMissing
        await self._move("an input cannot be read")

    async def put(self, key: str, source: Path) -> None:
        await self._move("a result cannot be stored")

    async def _move(self, kind: str) -> None:
        await asyncio.sleep(self._script.pause(0.05))
        if self._script.fault(kind, 0.03):
            raise OSError(kind)


class SimulatedSms:
    """Keeps the last code of each phone; a message may get lost, and still be sent twice."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.codes: dict[str, str] = {}

    async def send(self, phone: str, code: str, minutes: int) -> None:
        await asyncio.sleep(self._script.pause(0.5))
        if self._script.fault("a text message gets lost", 0.1):
            raise ServiceUnavailable(service="sms", retry_after=5)
        self.codes[phone] = code

    async def close(self) -> None:
        """Nothing is held."""


class SimulatedGateway:
    """A PaymentGateway with books that no crash of ours touches."""

    acknowledgement = Acknowledgement("text/plain", b"taken")

    def __init__(self, channel: str, script: Script) -> None:
        self.channel, self._script = channel, script
        self.books: dict[str, Payment] = {}

    async def prepare(self, invoice: Invoice) -> PaymentRequest:
        await self._wire()
        self.books.setdefault(invoice.order_id, Payment(invoice.order_id, PaymentState.UNPAID, invoice.amount, ""))
        await self._wire()
        return PaymentRequest({}, f"{self.channel}:{invoice.order_id}")

    def claims(self, notification: Notification) -> bool:
        return notification.headers["channel"] == self.channel

    def read(self, notification: Notification) -> Payment:
        if notification.headers["signature"] != "good":
            raise SignatureInvalid
        said = json.loads(notification.body)
        return Payment(said["order"], PaymentState(said["state"]), said["amount"], said["transaction"])

    async def query(self, order_id: str) -> Payment:
        await self._wire(nonsense=True)
        known = self.books.get(order_id, Payment(order_id, PaymentState.UNPAID, 0, ""))
        await self._wire()
        return known

    async def close(self, order_id: str) -> Payment:
        await self._wire(nonsense=True)
        known = self.books.get(order_id, Payment(order_id, PaymentState.UNPAID, 0, ""))
        if known.state is PaymentState.UNPAID:
            known = self.books[order_id] = replace(known, state=PaymentState.CLOSED)
        await self._wire()
        return known

    def settle(self, order_id: str, state: PaymentState) -> bool:
        """The buyer pays, or fails to; whether the trade was still open."""
        known = self.books[order_id]
        if known.state is not PaymentState.UNPAID:
            return False
        transaction = f"{self.channel} {order_id}" if state is PaymentState.PAID else ""
        self.books[order_id] = replace(known, state=state, transaction_id=transaction)
        return True

    async def _wire(self, *, nonsense: bool = False) -> None:
        await asyncio.sleep(self._script.pause(0.2))
        if self._script.fault("a gateway hangs", 0.03):
            await asyncio.sleep(FOR_EVER)
        if self._script.fault("a gateway fails", 0.06):
            raise ServiceUnavailable(service="payment", retry_after=5)
        if nonsense and self._script.fault("a gateway answers nonsense", 0.04):
            raise ValueError("not what was expected")


def notification(channel: str, payment: Payment, signature: str = "good") -> Notification:
    said = {
        "order": payment.order_id,
        "state": payment.state,
        "amount": payment.amount,
        "transaction": payment.transaction_id,
    }
    return Notification({"channel": channel, "signature": signature}, json.dumps(said).encode())
