"""The form of log lines: JSON in production, readable text in development.

A line has timestamp (UTC, milliseconds), level, logger, event, the request_id of the request that is being answered,
and then the facts. An exception is the text of its traceback without local variables, which may hold codes and tokens.

Code writes `log = structlog.stdlib.get_logger("darkroom.task")`; an event is a constant text, and facts are key-values.
Importing this module sends such lines through the standard library's logging, so that its levels and handlers apply to
them, also in a process that configures nothing, such as most tests.
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
"""The id of the request that is being answered, in the task that answers it and in the tasks that it starts."""

# Line breaks, terminal escapes and characters that change the direction of writing could make a line look like another
# one. Lone surrogates cannot be written at all.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def configure_logging(production: bool, level: int = logging.INFO) -> None:
    """Write every log line of this process, from `level` on, to standard error."""
    handler = _StderrHandler(sys.stderr)
    handler.setFormatter(line_format(production, colours=sys.stderr.isatty()))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    threading.excepthook = lambda fault: _log_fault("an exception ended a thread", fault.exc_value)
    sys.unraisablehook = lambda fault: _log_fault("an exception was ignored", fault.exc_value)


class _StderrHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name comes from logging
        """Report a call whose text and arguments do not match, without writing either of them."""
        with contextlib.suppress(Exception):
            fault = sys.exc_info()[0]
            name = fault.__name__ if fault is not None else "an unknown fault"
            lost = logging.LogRecord(record.name, logging.ERROR, record.pathname, record.lineno, "", (), None)
            lost.msg = f"a log line could not be written: {name} at {record.filename}:{record.lineno}"
            self.stream.write(self.format(lost) + self.terminator)


def _log_fault(event: str, fault: BaseException | None) -> None:
    structlog.stdlib.get_logger("darkroom").error(event, exc_info=fault)


def line_format(production: bool, *, colours: bool = False) -> logging.Formatter:
    """Return the formatter. Masking comes before rendering, because rendering escapes what stands next to a phone."""
    rendering: list[Processor] = [JSONRenderer()] if production else [_printable, _console_renderer(colours)]
    return ProcessorFormatter(
        foreign_pre_chain=[_add_request_id],
        processors=[_add_record_fields, format_exc_info, _mask, *rendering],
    )


def _console_renderer(colours: bool) -> ConsoleRenderer:
    return ConsoleRenderer(colors=colours, sort_keys=False)


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    request_id = REQUEST_ID.get(None)
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def _capture_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace `exc_info=True` by the exception itself: a handler that formats later might find another one."""
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exc_info()
    return event


def _add_record_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
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
    return {**line, **event, **line}  # the fields stand first and win over facts of the same name


def _mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return masked_facts(event)


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape the values, so that a record begins only where a line begins; lines of an exception are indented."""
    return {
        _escaped(key): "\n".join(f"    {_escaped(line)}" for line in value.splitlines())
        if key == "exception"
        else _escaped(value if isinstance(value, str) else repr(value))
        for key, value in event.items()
    }


def _escaped(text: str) -> str:
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


structlog.configure(
    processors=[
        _add_request_id,
        _capture_exception,
        ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
