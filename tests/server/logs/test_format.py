"""Every log line has the common form and the id of its request, whichever library wrote it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path

import pytest
import structlog

from server.logs.format import REQUEST_ID, line_format
from tests.server.logs.captured_log import (
    CODE,
    FORGED,
    LOG_CALLS,
    CapturedLog,
    LogCall,
    log_exception,
    log_foreign,
    log_foreign_exception,
    log_ours,
)


@pytest.mark.parametrize("log_call", LOG_CALLS)
def test_a_production_line_is_json_with_fixed_first_fields(production: CapturedLog, log_call: LogCall) -> None:
    log_call("你好")
    assert production.text.count("\n") == 1
    assert list(production.line)[:4] == ["timestamp", "level", "logger", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", production.line["timestamp"])
    assert production.line["level"] in ("warning", "error")
    assert production.line["logger"] in ("darkroom.test", "aiohttp.server", "asyncio")
    assert "你好" in str(production.line)


def test_facts_are_fields(production: CapturedLog) -> None:
    facts = {"attempt": 2, "paid": True, "user": None, "seconds": 0.5, "problem": "a b", "ids": ["x", "y"]}
    structlog.stdlib.get_logger("darkroom.task").info("a task failed", **facts)
    assert {name: production.line[name] for name in facts} == facts
    assert (production.line["event"], production.line["logger"]) == ("a task failed", "darkroom.task")


def test_a_fact_cannot_replace_a_fixed_field(production: CapturedLog) -> None:
    structlog.stdlib.get_logger("darkroom").info("true", level="debug", logger="x", timestamp="0")
    assert (production.line["level"], production.line["logger"]) == ("info", "darkroom")
    assert production.line["timestamp"] != "0"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_values_without_json_form_become_text(production: CapturedLog, number: float) -> None:
    structlog.stdlib.get_logger("darkroom").info("odd", number=number, path=Path("/x"), lone="\ud800")
    assert "NaN" not in production.text and "Infinity" not in production.text
    assert production.line["number"] == repr(number) and "/x" in production.line["path"]


def test_a_development_line_is_readable_text(development: CapturedLog) -> None:
    structlog.stdlib.get_logger("darkroom.task").info("a task failed", task="t1", attempt=2)
    assert re.fullmatch(r"\S+Z \[info *\] a task failed +\[darkroom\.task\] task=t1 attempt=2\n", development.text), (
        development.text
    )


async def test_a_line_has_the_id_of_its_request(log: CapturedLog) -> None:
    async def started_by_the_request() -> None:
        log_foreign("from a library")

    async def request() -> None:
        REQUEST_ID.set("request-7")
        log_ours("from us")
        await asyncio.create_task(started_by_the_request())

    await asyncio.create_task(request())
    log_ours("from nobody")
    us, library, nobody = log.text.splitlines()
    assert "request-7" in us and "request-7" in library and "request_id" not in nobody
    if log.production:
        assert json.loads(us)["request_id"] == json.loads(library)["request_id"] == "request-7"


@pytest.mark.parametrize("log_call", [log_exception, log_foreign_exception])
def test_an_exception_is_logged_without_local_variables(log: CapturedLog, log_call: LogCall) -> None:
    def check(code: str) -> None:
        session = f"of {code}"
        log_call(f"no room for {len(session)}")

    check(CODE)
    assert "ValueError: no room for 9" in log.text and "in log_" in log.text
    assert CODE not in log.text
    if log.production:
        assert log.line["exception"].startswith("Traceback (most recent call last)")


def test_an_exception_object_is_logged(production: CapturedLog) -> None:
    structlog.stdlib.get_logger("darkroom.actor").error("a message failed", exc_info=ValueError("late"))
    assert production.line["exception"] == "ValueError: late"


def test_an_exception_is_logged_by_a_handler_that_formats_later(caplog: pytest.LogCaptureFixture) -> None:
    log_exception("kept")
    assert "ValueError: kept" in json.loads(line_format(True).format(caplog.records[-1]))["exception"]
    assert "ValueError: kept" in line_format(False).format(caplog.records[-1])


@pytest.mark.parametrize("log_call", LOG_CALLS)
@pytest.mark.parametrize("breaking", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_text_can_forge_a_line(log: CapturedLog, log_call: LogCall, breaking: str) -> None:
    log_call(f"fine{breaking}{FORGED}")
    begun = [
        line for line in re.split("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", log.text) if line[:1] not in ("", " ")
    ]
    assert len(begun) == 1 and "it was not me" in log.text


@pytest.mark.parametrize("name", ["darkroom\nx", "x\x1b[2J"])
def test_no_name_can_forge_a_line(log: CapturedLog, name: str) -> None:
    structlog.stdlib.get_logger(name).warning("odd", **{f"key{name}": 1})
    assert log.text.count("\n") == 1 and "\x1b" not in log.text


@pytest.mark.parametrize("log_call", LOG_CALLS)
@pytest.mark.parametrize("trick", ["\x1b[2J", "\x07", "\x08", "\x9b31m", "\u202e", "\u2066", "\ud800"])
def test_control_characters_are_escaped(log: CapturedLog, log_call: LogCall, trick: str) -> None:
    log_call(f"a{trick}b")
    assert trick not in log.text


def test_levels_of_the_standard_library_apply(log: CapturedLog) -> None:
    structlog.stdlib.get_logger("darkroom.test").debug("unheard")
    logging.getLogger("darkroom").setLevel(logging.CRITICAL)
    try:
        log_ours("unheard")
    finally:
        logging.getLogger("darkroom").setLevel(logging.NOTSET)
    assert log.text == ""
