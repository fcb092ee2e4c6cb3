"""The log of a whole process: each line is written once and in the common form, also for warnings and faults."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.server.logs.captured_log import (
    PHONE,
)
from tests.support.server import TIMEOUT_SECONDS

ROOT = Path(__file__).parent.parent.parent.parent

PROGRAM = """
import logging, structlog, sys
logging.basicConfig()  # as a library might
from server.logs.format import configure_logging
configure_logging(production=sys.argv[1] == "production")
configure_logging(production=sys.argv[1] == "production")
structlog.stdlib.get_logger("darkroom").info("ours", number=1)
logging.getLogger("asyncio").warning("theirs %d", 2)
logging.getLogger("asyncio").info("theirs %d", 3)
logging.getLogger("asyncio").debug("unheard")
"""


async def output_of(program: str, mode: str, warnings: str) -> tuple[list[str], bytes]:
    """Run a program in its own process; return its lines on standard error and its standard output."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = (sys.executable, "-P", "-W", warnings, "-c", program, mode)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        out, err = await process.communicate()
    assert process.returncode == 0, err
    return err.decode().splitlines(), out


@pytest.mark.parametrize("mode", ["production", "development"])
async def test_a_process_writes_each_line_once_and_to_standard_error(mode: str) -> None:
    lines, out = await output_of(PROGRAM, mode, "error")
    assert (out, len(lines)) == (b"", 3), lines
    if mode == "production":
        assert [json.loads(line)["event"] for line in lines] == ["ours", "theirs 2", "theirs 3"]
    else:
        assert "\x1b" not in "".join(lines), "no colours where no terminal is"


LOSING = """
import logging, structlog, sys, threading, warnings
from server.logs.format import configure_logging
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
async def test_faults_outside_of_log_calls_have_the_common_form_and_are_masked(mode: str) -> None:
    """The faults: a log call that fails, a value without a repr, a warning, a thread, a destructor."""
    lines, _ = await output_of(LOSING, mode, "always")
    assert PHONE not in "".join(lines), lines
    if mode == "production":
        events = [json.loads(line)["event"] for line in lines]
        assert "a log line could not be written: TypeError" in events[0]
        assert events[1] == "broken" and "138****8000" in events[2]
        assert events[3:] == ["an exception ended a thread", "an exception was ignored"]
