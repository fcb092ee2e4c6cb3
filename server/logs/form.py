"""The log: one form for every line, whoever wrote it. JSON in production; in development one to read.

timestamp (UTC, milliseconds), level, logger, event, request_id where a request is being answered, then the facts.
An exception is the text of its traceback, without local variables: these may hold codes and tokens.

Product code says `log = structlog.stdlib.get_logger("darkroom.task")`, and an event is a constant text, with the facts
as key-values. Whatever imports this module sends them through the standard library's logging, whose levels and
handlers hold for them, also in a process that configures nothing, as most tests are.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import structlog
from structlog.dev import ConsoleRenderer
from structlog.processors import JSONRenderer, format_exc_info
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from server.logs.masking import masked_facts

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""Of the request that is being answered, in the task that answers it and in those it starts."""

# Line breaks of every kind, terminal escapes, and what turns the direction of writing: a line would not be what it
# seems. Lone surrogates cannot be written at all.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def configure_logging(production: bool, level: int = logging.INFO) -> None:
    """Send every log line of this process from this level on to standard error."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(line_format(production, colours=sys.stderr.isatty()))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    threading.excepthook = lambda fault: _log_fault("a thread failed", fault.exc_value)
    sys.unraisablehook = lambda fault: _log_fault("an exception could not be raised", fault.exc_value)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging calls it so
        """A call whose text and arguments do not fit leaves a line in the common form, and nothing of either."""
        with contextlib.suppress(Exception):
            fault = sys.exc_info()[0]
            name = fault.__name__ if fault is not None else "an unknown fault"
            lost = logging.LogRecord(record.name, logging.ERROR, record.pathname, record.lineno, "", (), None)
            lost.msg = f"a log line could not be written: {name} at {record.filename}:{record.lineno}"
            self.stream.write(self.format(lost) + self.terminator)


def _log_fault(event: str, fault: BaseException | None) -> None:
    structlog.stdlib.get_logger("darkroom").error(event, exc_info=fault)


def line_format(production: bool, *, colours: bool = False) -> logging.Formatter:
    """Masking comes before rendering, which would quote what stands next to a phone: `\\n138…` is an n to a pattern."""
    rendering: list[Processor] = [JSONRenderer()] if production else [_printable, _for_reading(colours)]
    return ProcessorFormatter(
        foreign_pre_chain=[_add_request_id],
        processors=[_begin_with_the_record, format_exc_info, _mask, *rendering],
    )


def _for_reading(colours: bool) -> ConsoleRenderer:
    return ConsoleRenderer(colors=colours, sort_keys=False)


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    request_id = REQUEST_ID.get(None)
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def _hold_the_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """`log.exception()` says only that there is one: a handler that formats later would find another, or none."""
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exc_info()
    return event


def _begin_with_the_record(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event.pop("_record")
    del event["_from_structlog"]
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    line = {
        "timestamp": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": event.pop("event", ""),
    }
    if "request_id" in event:
        line["request_id"] = event.pop("request_id")
    return {**line, **event, **line}  # in this order, whatever a fact is called


def _mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return masked_facts(event)


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A record begins where a line does, and only there: further lines, those of an exception, are indented."""
    return {
        _escaped(key): "\n".join(f"    {_escaped(line)}" for line in value.splitlines())
        if key == "exception"
        else _escaped(value if isinstance(value, str) else repr(value))
        for key, value in event.items()
    }


def _escaped(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


structlog.configure(
    processors=[
        _add_request_id,
        _hold_the_exception,
        ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
