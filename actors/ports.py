"""The protocols of the external services that actors use. server/system.py passes the implementations in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    def now(self) -> int:
        """Return the milliseconds since 1970-01-01 UTC."""


class SmsSender(Protocol):
    async def send(self, phone: str, code: str, minutes: int) -> None:
        """Send a login `code` that is valid for `minutes` to a canonical phone.

        Raises ServiceUnavailable (the message may have been sent all the same), and PhoneRefused or
        TooManyCodesForPhone when that is the provider's answer.
        """

    async def close(self) -> None:
        """Close all connections."""


# --- payments ---------------------------------------------------------------------------------


class Channel(StrEnum):
    WX = "wx"
    ALIPAY = "alipay"


@dataclass(frozen=True, slots=True)
class Invoice:
    """The payment that a gateway is asked to collect. `amount` in fen, `expires_at` in epoch milliseconds."""

    order_id: str
    amount: int
    subject: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class PaymentForm:
    """How the user can pay: parameters for an in-app payment, and a URL for a QR code."""

    pay_params: Mapping[str, str]
    qrcode_url: str


class PaymentState(StrEnum):
    UNPAID = "unpaid"
    PAID = "paid"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Payment:
    """The payment of an order, as its gateway reports it in a notification or on request. `amount` in fen."""

    order_id: str
    state: PaymentState
    amount: int
    transaction_id: str


@dataclass(frozen=True, slots=True)
class Notification:
    """An HTTP request of a gateway, as it arrived. Header names are lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The response by which a gateway knows that its notification has arrived."""

    content_type: str
    body: bytes


class PaymentGateway(Protocol):
    acknowledgement: Acknowledgement

    async def prepare(self, invoice: Invoice) -> PaymentForm:
        """Open a trade for an order; repeating this is harmless. Raises ServiceUnavailable."""

    def recognizes(self, notification: Notification) -> bool:
        """Return whether a notification has the form of this gateway's. It is not verified here."""

    def verify_notification(self, notification: Notification) -> Payment:
        """Verify signature, age and merchant of a notification, and return its payment. Raises SignatureInvalid."""

    async def query(self, order_id: str) -> Payment:
        """Ask for the payment of an order; an unknown trade is UNPAID. Raises ServiceUnavailable."""

    async def close(self, order_id: str) -> Payment:
        """Close a trade so that it cannot be paid any more, unless it already was. Raises ServiceUnavailable."""


# --- pictures ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """How to upload one object: PUT the bytes to `url` with `headers`, until `expires_at` (epoch milliseconds)."""

    url: str
    headers: Mapping[str, str]
    expires_at: int


CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
"""The content types of objects, by the suffix of their keys."""


class ObjectStore(Protocol):
    """Stores pictures by key, such as `input/USER/TASK/NAME.jpg`. None of them is public."""

    def sign_upload(self, key: str) -> UploadTicket:
        """Return a ticket with which one object can be uploaded for a limited time."""

    def sign_download(self, key: str) -> str:
        """Return a URL from which the object can be read for a limited time."""

    def key_from_url(self, url: str) -> str | None:
        """Return the key in a download URL of this store, None for any other URL. Raises LinkInvalid."""

    async def exists(self, key: str) -> bool:
        """Return whether there is an object under this key."""

    async def fetch(self, key: str, target: Path) -> None:
        """Copy an object into the file `target`. Raises FileMissing."""

    async def put(self, key: str, source: Path) -> None:
        """Store a file durably; an object under the same key is replaced atomically."""

    async def delete(self, key: str) -> None:
        """Delete an object, if there is one. Raises OSError."""

    def objects(self) -> AsyncIterator[Sequence[tuple[str, int]]]:
        """Yield all objects in batches, as (key, size in bytes)."""


class PictureTemplate(StrEnum):
    """The result pictures that a task asks for."""

    ALL = "all"
    MATTING = "matting"
    WHITE_BG = "white_bg"
    ENHANCED = "enhanced"


class PictureRefused(Exception):
    """A valid picture of which no good result can be made. The HTTP layer has a text for each `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PictureWorkers(Protocol):
    """Processes picture files in worker processes, each with a memory, pixel and time limit."""

    async def admit(self, source: Path, target: Path) -> None:
        """Re-encode an uploaded picture without its metadata, upright and in sRGB, in the format of `target`'s suffix.

        Raises NotAnImage, TooLarge (pixels), Overloaded.
        """

    async def clean(self, source: Path, folder: Path, template: PictureTemplate) -> list[Path]:
        """Cut out the garment; returns the files written into `folder`, with their public names (`matting.png` …).

        Raises PictureRefused; Overloaded when the queue is full or the workers are stopping (then nothing was done).
        """
