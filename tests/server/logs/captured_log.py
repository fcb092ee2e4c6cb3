"""A log that tests can read, and the ways in which a text gets into a log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from server.logs.format import line_format

PHONE, CODE = "13800138000", "493027"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ4In0.c2lnbmF0dXJl-_x"
REFRESH = "rt_" + "aB3-_" * 8 + "xyz"
WEBHOOK = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FORGED = "2026-01-01T00:00:00.000Z [error    ] it was not me"


@dataclass(frozen=True, slots=True)
class CapturedLog:
    """The log lines of one test, in one of the two modes."""

    stream: io.StringIO
    production: bool

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def line(self) -> dict[str, Any]:
        """The only line, parsed; in production mode."""
        parsed = json.loads(self.text)
        assert isinstance(parsed, dict)
        return parsed


def capture_log(production: bool) -> Iterator[CapturedLog]:
    log = CapturedLog(io.StringIO(), production)
    handler, root = logging.StreamHandler(log.stream), logging.getLogger()
    handler.setFormatter(line_format(production))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield log
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def log_ours(text: str) -> None:
    structlog.stdlib.get_logger("darkroom.test").warning("something happened", what=text)


def log_as_event(text: str) -> None:
    structlog.stdlib.get_logger("darkroom.test").warning(text)


def log_nested(text: str) -> None:
    structlog.stdlib.get_logger("darkroom.test").warning("something happened", facts={"list": [(text,)], text: 1})


def log_foreign(text: str) -> None:
    logging.getLogger("aiohttp.server").warning("something happened: %s", text)


def log_exception(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        structlog.stdlib.get_logger("darkroom.test").exception("something failed")


def log_foreign_exception(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("asyncio").exception("something failed")


def log_repr(text: str) -> None:
    structlog.stdlib.get_logger("darkroom.test").warning("something happened", fault=repr(ValueError(f"\n{text}\n")))


LOG_CALLS = (log_ours, log_as_event, log_nested, log_foreign, log_exception, log_foreign_exception, log_repr)
LogCall = Callable[[str], None]
