"""Every log line has its one form, whoever wrote it, and its request's id."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path

import pytest
import structlog

from server.logs.form import REQUEST_ID, line_format
from tests.server.logs.written import (
    CODE,
    FORGED,
    WAYS,
    Log,
    Way,
    foreign,
    ours,
    raised,
    raised_elsewhere,
)


@pytest.mark.parametrize("say", WAYS)
def test_a_line_of_production_is_an_object_that_begins_in_one_way(production: Log, say: Way) -> None:
    say("你好")
    assert production.text.count("\n") == 1
    assert list(production.line)[:4] == ["timestamp", "level", "logger", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", production.line["timestamp"])
    assert production.line["level"] in ("warning", "error")
    assert production.line["logger"] in ("darkroom.test", "aiohttp.server", "asyncio")
    assert "你好" in str(production.line)


def test_the_facts_are_values_of_their_own(production: Log) -> None:
    facts = {"attempt": 2, "paid": True, "user": None, "seconds": 0.5, "problem": "a b", "ids": ["x", "y"]}
    structlog.stdlib.get_logger("darkroom.task").info("a task failed", **facts)
    assert {name: production.line[name] for name in facts} == facts
    assert (production.line["event"], production.line["logger"]) == ("a task failed", "darkroom.task")


def test_no_fact_takes_the_place_of_what_every_line_has(production: Log) -> None:
    structlog.stdlib.get_logger("darkroom").info("true", level="debug", logger="x", timestamp="0")
    assert (production.line["level"], production.line["logger"]) == ("info", "darkroom")
    assert production.line["timestamp"] != "0"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_said_as_text(production: Log, number: float) -> None:
    structlog.stdlib.get_logger("darkroom").info("odd", number=number, path=Path("/x"), lone="\ud800")
    assert "NaN" not in production.text and "Infinity" not in production.text
    assert production.line["number"] == repr(number) and "/x" in production.line["path"]


def test_a_line_of_development_is_for_reading(development: Log) -> None:
    structlog.stdlib.get_logger("darkroom.task").info("a task failed", task="t1", attempt=2)
    assert re.fullmatch(r"\S+Z \[info *\] a task failed +\[darkroom\.task\] task=t1 attempt=2\n", development.text), (
        development.text
    )


async def test_a_line_says_which_request_it_belongs_to(log: Log) -> None:
    async def started_by_the_request() -> None:
        foreign("from a library")

    async def request() -> None:
        REQUEST_ID.set("request-7")
        ours("from us")
        await asyncio.create_task(started_by_the_request())

    await asyncio.create_task(request())
    ours("from nobody")
    us, library, nobody = log.text.splitlines()
    assert "request-7" in us and "request-7" in library and "request_id" not in nobody
    if log.production:
        assert json.loads(us)["request_id"] == json.loads(library)["request_id"] == "request-7"


@pytest.mark.parametrize("say", [raised, raised_elsewhere])
def test_an_exception_is_told_without_its_local_variables(log: Log, say: Way) -> None:
    def check(code: str) -> None:
        session = f"of {code}"
        say(f"no room for {len(session)}")

    check(CODE)
    assert "ValueError: no room for 9" in log.text and "in raised" in log.text
    assert CODE not in log.text
    if log.production:
        assert log.line["exception"].startswith("Traceback (most recent call last)")


def test_an_exception_that_is_handed_over_is_told_as_well(production: Log) -> None:
    structlog.stdlib.get_logger("darkroom.actor").error("a message failed", exc_info=ValueError("late"))
    assert production.line["exception"] == "ValueError: late"


def test_an_exception_is_still_told_by_who_formats_its_record_later(caplog: pytest.LogCaptureFixture) -> None:
    raised("kept")
    assert "ValueError: kept" in json.loads(line_format(True).format(caplog.records[-1]))["exception"]
    assert "ValueError: kept" in line_format(False).format(caplog.records[-1])


@pytest.mark.parametrize("say", WAYS)
@pytest.mark.parametrize("breaking", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_text_can_begin_a_line_of_its_own(log: Log, say: Way, breaking: str) -> None:
    say(f"fine{breaking}{FORGED}")
    begun = [
        line for line in re.split("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", log.text) if line[:1] not in ("", " ")
    ]
    assert len(begun) == 1 and "it was not me" in log.text


@pytest.mark.parametrize("name", ["darkroom\nx", "x\x1b[2J"])
def test_neither_can_a_name(log: Log, name: str) -> None:
    structlog.stdlib.get_logger(name).warning("odd", **{f"key{name}": 1})
    assert log.text.count("\n") == 1 and "\x1b" not in log.text


@pytest.mark.parametrize("say", WAYS)
@pytest.mark.parametrize("trick", ["\x1b[2J", "\x07", "\x08", "\x9b31m", "\u202e", "\u2066", "\ud800"])
def test_a_terminal_is_told_nothing(log: Log, say: Way, trick: str) -> None:
    say(f"a{trick}b")
    assert trick not in log.text


def test_levels_of_the_standard_library_hold(log: Log) -> None:
    structlog.stdlib.get_logger("darkroom.test").debug("unheard")
    logging.getLogger("darkroom").setLevel(logging.CRITICAL)
    try:
        ours("unheard")
    finally:
        logging.getLogger("darkroom").setLevel(logging.NOTSET)
    assert log.text == ""
