"""What the actors need from outside, as protocols. server/system.py puts the real things in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    def now(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""


class SmsSender(Protocol):
    async def send(self, phone: str, code: str, minutes: int) -> None:
        """Send a login `code` that is good for `minutes` to a canonical phone.

        Raises ServiceUnavailable (the message may have been sent all the same), PhoneRefused and TooManyCodesForPhone
        where the provider says so.
        """

    async def close(self) -> None:
        """Let go of connections."""


# --- payments ---------------------------------------------------------------------------------


class Channel(StrEnum):
    WX = "wx"
    ALIPAY = "alipay"


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a gateway is asked to collect. `amount` in fen, `expires_at` in epoch milliseconds."""

    order_id: str
    amount: int
    subject: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """How the person can pay: parameters for an in-app payment, and an address for a QR code."""

    pay_params: Mapping[str, str]
    qrcode_url: str


class PaymentState(StrEnum):
    UNPAID = "unpaid"
    PAID = "paid"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Payment:
    """What a gateway says about an order, by notification or when asked. `amount` in fen."""

    order_id: str
    state: PaymentState
    amount: int
    transaction_id: str


@dataclass(frozen=True, slots=True)
class Notification:
    """A gateway's HTTP call as it arrived. Header names are lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the gateway expects to be answered when its notification has been taken."""

    content_type: str
    body: bytes


class PaymentGateway(Protocol):
    acknowledgement: Acknowledgement

    async def prepare(self, invoice: Invoice) -> PaymentRequest:
        """Open a trade. Asking again for the same order is harmless. Raises ServiceUnavailable."""

    def claims(self, notification: Notification) -> bool:
        """Whether this has the shape of this gateway's notifications (which says nothing of its truth)."""

    def read(self, notification: Notification) -> Payment:
        """Verify signature, age and merchant. Raises SignatureInvalid."""

    async def query(self, order_id: str) -> Payment:
        """Ask the gateway. A trade it does not know is UNPAID. Raises ServiceUnavailable."""

    async def close(self, order_id: str) -> Payment:
        """See to it that the trade cannot be paid any more, unless it already was. Raises ServiceUnavailable."""


# --- pictures ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """How to put one object: PUT the bytes to `url` with `headers`, until `expires_at` (epoch milliseconds)."""

    url: str
    headers: Mapping[str, str]
    expires_at: int


class ObjectStore(Protocol):
    """Pictures by key, such as `input/USER/TASK/NAME.jpg`. Nothing in it is public."""

    def sign_upload(self, key: str) -> UploadTicket: ...

    def sign_download(self, key: str) -> str:
        """An address that gives the object for a limited time."""

    def key_of(self, url: str) -> str | None:
        """The key in a download address that this store signed, or None for any other address. Raises LinkInvalid."""

    async def exists(self, key: str) -> bool: ...

    async def fetch(self, key: str, target: Path) -> None:
        """Copy the object into the file `target`. Raises FileMissing."""

    async def put(self, key: str, source: Path) -> None:
        """Store the file, durable when this returns; an object under the same key is replaced in one step."""


class PictureTemplate(StrEnum):
    ALL = "all"
    MATTING = "matting"
    WHITE_BG = "white_bg"
    ENHANCED = "enhanced"


class PictureRefused(Exception):
    """The picture was understood, but no good result can be made of it. `reason` is a key the edge puts in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PictureWorkers(Protocol):
    """Picture work in processes of its own, each with a memory, pixel and time limit."""

    async def admit(self, source: Path, target: Path) -> None:
        """Re-encode an uploaded picture without its metadata, upright and in sRGB, in the format of `target`'s suffix.

        Raises NotAnImage, TooLarge (pixels), Overloaded.
        """

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        """Cut the garment out; returns the files written into `folder`, named as on the wire (`matting.png` …).

        Raises PictureRefused; Overloaded when too much waits or the workers are stopping (nothing was decided then).
        """
