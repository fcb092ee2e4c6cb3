"""Every log line: its one form, its request's id, and what it never holds, whoever wrote it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from server.logs import REQUEST_ID, line_format
from tests.edge import GUARD_SECONDS

PHONE, CODE = "13800138000", "493027"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ4In0.c2lnbmF0dXJl-_x"
REFRESH = "rt_" + "aB3-_" * 8 + "xyz"
WEBHOOK = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FORGED = "2026-01-01T00:00:00.000Z [error    ] it was not me"


@dataclass(frozen=True, slots=True)
class Log:
    """What was written, in one of the two modes."""

    stream: io.StringIO
    production: bool

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def line(self) -> dict[str, Any]:
        """The only line there is, in production."""
        parsed = json.loads(self.text)
        assert isinstance(parsed, dict)
        return parsed


def written(production: bool) -> Iterator[Log]:
    log = Log(io.StringIO(), production)
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


@pytest.fixture(params=[True, False], ids=["production", "development"])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    yield from written(request.param)


@pytest.fixture
def production() -> Iterator[Log]:
    yield from written(True)


@pytest.fixture
def development() -> Iterator[Log]:
    yield from written(False)


def ours(text: str) -> None:
    structlog.stdlib.get_logger("darkroom.test").warning("something happened", what=text)


def ours_as_event(text: str) -> None:
    structlog.stdlib.get_logger("darkroom.test").warning(text)


def ours_within(text: str) -> None:
    structlog.stdlib.get_logger("darkroom.test").warning("something happened", facts={"list": [(text,)], text: 1})


def foreign(text: str) -> None:
    logging.getLogger("aiohttp.server").warning("something happened: %s", text)


def raised(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        structlog.stdlib.get_logger("darkroom.test").exception("something failed")


def raised_elsewhere(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("asyncio").exception("something failed")


def quoted(text: str) -> None:
    structlog.stdlib.get_logger("darkroom.test").warning("something happened", fault=repr(ValueError(f"\n{text}\n")))


WAYS = (ours, ours_as_event, ours_within, foreign, raised, raised_elsewhere, quoted)
Way = Callable[[str], None]


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
@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "手机{}号",
        "+86{}",
        "86{}",
        "0086{}",
        "+86 {}",
        "a\n{}\n",
        "phone=%2B86{}&x=",
        "/sms?phone={}",
        "(%20{})",
        "_{}_",
    ],
)
def test_a_phone_is_masked(log: Log, say: Way, written: str) -> None:
    say(written.format(PHONE))
    assert "138****8000" in log.text
    assert PHONE not in log.text and "86138" not in log.text and "86 138" not in log.text


@pytest.mark.parametrize("written", ["138 0013 8000", "+86 138 0013 8000", "138-0013-8000"])
def test_a_phone_is_masked_as_people_write_it(log: Log, written: str) -> None:
    ours(f"to {written}.")
    assert "to 138****8000." in log.text


def test_a_phone_that_was_read_as_a_number_is_masked(log: Log) -> None:
    structlog.stdlib.get_logger("darkroom").info("a number", phone=int(PHONE), phones=[int(PHONE)])
    assert log.text.count("138****8000") == 2 and PHONE not in log.text
    assert not log.production or log.line["phones"] == ["138****8000"]


@pytest.mark.parametrize("text", ["1795420800000", "a13800138000", "13800138000f", "12800138000", "00138001380001"])
def test_a_longer_run_of_letters_and_digits_is_an_id_and_stays(log: Log, text: str) -> None:
    ours(text)
    assert text in log.text


@pytest.mark.parametrize("say", WAYS)
@pytest.mark.parametrize(
    "secret, written",
    [
        (JWT, "{}"),
        (JWT, "token {}, which is over"),
        (JWT.rpartition(".")[0] + ".", "{}"),  # alg: none
        (REFRESH, "{}"),
        (REFRESH, "\n{}\n"),
        (WEBHOOK, "the secret is {}"),
        ("c2VjcmV0LXRva2Vu", "Authorization: Bearer {}"),
        ("c2VjcmV0LXRva2Vu", "\nauthorization: bearer  {}"),
        ("x7Yq-c2ln", "GET /media/a.png?expires=1&signature={} HTTP/1.1"),
        (CODE, "LogIn(phone='1', code='{}')"),
        (CODE, '{{"phone": "1", "code": "{}"}}'),
        (CODE, '{{"phone": "1", "code": {}}}'),
        (CODE, "code={}"),
        ("s3cr3t", "Refresh(refresh_token='{}', x=1)"),
        ("s3cr3t", '{{"refreshToken":"{}"}}'),
        ("s3cr3t", "it's " + json.dumps('{{"token": "{}"}}')),
        ("s3cr3t", "password='{}"),
        ("s3cr3t", "Settings(password = 'it\\'s {}')"),
    ],
)
def test_a_secret_in_a_text_is_redacted(log: Log, say: Way, secret: str, written: str) -> None:
    say(written.format(secret))
    assert "[redacted]" in log.text
    assert secret not in log.text


@pytest.mark.parametrize(
    "name",
    [
        *("code", "token", "refresh_token", "refreshToken", "secret", "password", "authorization", "digest"),
        *("Code", "TOKEN", "Refresh-Token", "access_token"),
    ],
)
@pytest.mark.parametrize("value", [CODE, int(CODE), CODE.encode(), [CODE], {"x": CODE}])
def test_a_fact_whose_name_says_that_it_is_secret_is_redacted(log: Log, name: str, value: object) -> None:
    structlog.stdlib.get_logger("darkroom").info("a login", **{name: value})
    structlog.stdlib.get_logger("darkroom").info("a login", facts=[{"more": {name: value}}])
    assert log.text.count("[redacted]") == 2 and CODE not in log.text


def test_other_names_keep_their_values(production: Log) -> None:
    structlog.stdlib.get_logger("darkroom").info("refused", provider_code="LIMIT", refusal="x", tokens=3, key="kid")
    assert production.line["provider_code"] == "LIMIT" and production.line["tokens"] == 3
    assert "redacted" not in production.text


def test_a_value_that_holds_itself_is_told_and_holds_nothing_up(production: Log) -> None:
    loop: list[object] = [PHONE]
    loop.append(loop)
    structlog.stdlib.get_logger("darkroom").info("odd", loop=loop)
    assert PHONE not in production.text and production.line["loop"][0] == "138****8000"


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


PROGRAM = """
import logging, structlog, sys
logging.basicConfig()  # as a library might
from server.logs import configure_logging
configure_logging(production=sys.argv[1] == "production")
configure_logging(production=sys.argv[1] == "production")
structlog.stdlib.get_logger("darkroom").info("ours", number=1)
logging.getLogger("asyncio").warning("theirs %d", 2)
logging.getLogger("asyncio").info("theirs %d", 3)
logging.getLogger("asyncio").debug("unheard")
"""


@pytest.mark.parametrize("mode", ["production", "development"])
async def test_a_process_writes_each_line_once_and_to_standard_error(mode: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    command = (sys.executable, "-P", "-W", "error", "-c", PROGRAM, mode)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(GUARD_SECONDS):
        out, err = await process.communicate()
    lines = err.decode().splitlines()
    assert (process.returncode, out, len(lines)) == (0, b"", 3), err
    if mode == "production":
        assert [json.loads(line)["event"] for line in lines] == ["ours", "theirs 2", "theirs 3"]
    else:
        assert b"\x1b" not in err, "no colours where no terminal is"


LOSING = """
import logging, structlog, sys, threading, warnings
from server.logs import configure_logging
configure_logging(production=sys.argv[1] == "production")
class Broken:
    def __repr__(self):
        raise RuntimeError("13800138000")
logging.getLogger("lib").info("%d", "13800138000")
structlog.stdlib.get_logger("darkroom").info("broken", what=Broken(), long=10**5000)
warnings.warn("about 13800138000")
def fail():
    raise ValueError("of 13800138000")
thread = threading.Thread(target=fail)
thread.start(); thread.join()
Dying = type("Dying", (), {"__del__": lambda self: fail()})
dying = Dying()
del dying
"""


@pytest.mark.parametrize("mode", ["production", "development"])
async def test_what_goes_wrong_beside_the_log_has_its_form_and_gives_nothing_away(mode: str) -> None:
    """A log call that cannot be carried out, a value without a repr, a warning, a thread, a destructor."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    command = (sys.executable, "-P", "-W", "always", "-c", LOSING, mode)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(GUARD_SECONDS):
        _, err = await process.communicate()
    assert process.returncode == 0 and PHONE.encode() not in err, err
    if mode == "production":
        events = [json.loads(line)["event"] for line in err.decode().splitlines()]
        assert "a log line could not be written: TypeError" in events[0]
        assert events[1] == "broken" and "138****8000" in events[2]
        assert events[3:] == ["a thread failed", "an exception could not be raised"]
