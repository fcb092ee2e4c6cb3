"""What every sender does alike: when it tries again, what it says of an outage, and what it never logs."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from structlog.typing import EventDict, WrappedLogger

from actors.errors import DomainError, PhoneRefused, ServiceUnavailable
from server.gateways.sms.delivery import LoginCodeMessage, NotConnected, OutcomeUnknown, ProviderRefusal, deliver
from tests.server.gateways.sms import aliyun_wire, tencent_wire, webhook_wire
from tests.server.gateways.sms.provider import CODE, MINUTES, PHONE, Reply, hang_up, never, saying
from tests.server.gateways.sms.wire import TIMEOUT_SECONDS, Kind, wired

# What Tencent's SDK does, and newer Pythons warn of.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")

MESSAGE = LoginCodeMessage(PHONE, CODE, MINUTES)
AGAIN = ("warning", "no connection to the SMS provider; trying once more")
UNREACHED = ("error", "the SMS provider cannot be reached; check its address and the network")
UNCLEAR = ("error", "the SMS provider's response is missing or unclear; the message may have been sent")
LATE = ("error", "the SMS provider did not answer in time; the message may have been sent")

every_kind = pytest.mark.parametrize("kind", [tencent_wire, aliyun_wire, webhook_wire], ids=lambda kind: kind.__name__)


def events(log: list[EventDict]) -> list[tuple[str, str]]:
    return [(line["log_level"], line["event"]) for line in log]


@every_kind
async def test_a_message_is_sent_once_and_without_a_word(kind: Kind) -> None:
    async with wired(kind) as wire:
        await wire.send()
        assert (len(wire.provider.received), wire.log) == (1, [])


@every_kind
async def test_where_nobody_listens_a_second_attempt_is_the_last(kind: Kind) -> None:
    async with wired(kind, listening=False) as wire:
        with pytest.raises(ServiceUnavailable) as caught:
            await wire.send()
    assert events(wire.log) == [AGAIN, UNREACHED]
    assert caught.value.facts == {"service": "sms", "retry_after": 60}


@every_kind
async def test_a_second_attempt_delivers_what_the_first_could_not(kind: Kind) -> None:
    listening: list[asyncio.Task[None]] = []

    def listen(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        """Between the attempts: connections wait from now on, and are served in a moment."""
        wire.provider.socket.listen()
        listening.append(asyncio.get_running_loop().create_task(wire.provider.listen()))
        return line

    async with wired(kind, listening=False, processors=(listen,)) as wire:
        await wire.send()
    assert (events(wire.log), len(wire.provider.received), len(listening)) == ([AGAIN], 1, 1)


@every_kind
async def test_a_provider_that_never_answers_is_not_asked_again(kind: Kind) -> None:
    async with wired(kind, seconds=1) as wire:
        wire.provider.reply = never
        with pytest.raises(ServiceUnavailable):
            await wire.send()
        assert (events(wire.log), len(wire.provider.received)) == ([LATE], 1)


@every_kind
async def test_a_connection_that_breaks_is_not_opened_again(kind: Kind) -> None:
    async with wired(kind) as wire:
        wire.provider.reply = hang_up
        with pytest.raises(ServiceUnavailable):
            await wire.send()
        assert (events(wire.log), len(wire.provider.received)) == ([UNCLEAR], 1)


@every_kind
async def test_a_redirect_is_not_followed(kind: Kind) -> None:
    async with wired(kind) as wire:
        wire.provider.reply = saying("", 307, {"Location": f"{wire.provider.base}/elsewhere"})
        with pytest.raises(ServiceUnavailable):
            await wire.send()
        assert (wire.levels, len(wire.provider.received)) == (["error"], 1)


@every_kind
async def test_a_proxy_of_the_environment_is_not_used(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with wired(kind) as wire:
        await wire.send()


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that any library logs, down to DEBUG."""
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    yield caplog


TELLTALE = f"{PHONE}: the template does not take {CODE}"
REPLIES = {
    "accepted": None,
    "tencent refuses the message": tencent_wire.sent("FailedOperation.OtherError", TELLTALE),
    "tencent refuses the call": saying(tencent_wire.failed("InternalError", TELLTALE)),
    "aliyun refuses": aliyun_wire.sent("isv.INVALID_PARAMETERS", TELLTALE),
    "the code is telltale": aliyun_wire.sent(TELLTALE),
    "an error page": saying(TELLTALE, 500),
    "a broken connection": hang_up,
}


@every_kind
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_neither_the_code_nor_the_phone_is_logged(
    kind: Kind, reply: Reply | None, everything: pytest.LogCaptureFixture
) -> None:
    async with wired(kind) as wire:
        wire.provider.reply = reply or wire.provider.reply
        problem = await told(wire.send())
    written = f"{wire.log} {[record.getMessage() for record in everything.records]} {problem}"
    assert CODE not in written
    assert PHONE not in written
    assert all(line["phone"] == "138****8000" for line in wire.log)


async def told(sending: object) -> str:
    """The whole traceback of what sending raises, causes included."""
    assert asyncio.iscoroutine(sending)
    try:
        await sending
    except DomainError as error:
        return "".join(traceback.format_exception(error))
    return ""


@pytest.mark.parametrize("trouble", [NotConnected, OutcomeUnknown])
async def test_an_address_with_the_code_in_it_is_masked(trouble: type[Exception]) -> None:
    async def attempt(_: LoginCodeMessage) -> ProviderRefusal | None:
        raise trouble(f"Connection timeout to host https://a/?PhoneNumbers={PHONE}&TemplateParam=%22{CODE}%22")

    with capture_logs() as log:
        problem = await told(deliver("aliyun", MESSAGE, attempt, TIMEOUT_SECONDS))
    assert "https://a/?PhoneNumbers=138****8000&TemplateParam=%22******%22" in log[-1]["reason"]
    assert "ServiceUnavailable" in problem
    assert not any(secret in f"{log} {problem} {MESSAGE}" for secret in (CODE, PHONE))


async def test_what_a_provider_says_is_logged_with_what_to_do_and_not_at_any_length() -> None:
    async def attempt(_: LoginCodeMessage) -> ProviderRefusal | None:
        return ProviderRefusal("isv.X", "x" * 10_000, "a-request", PhoneRefused(), "do this")

    with capture_logs() as log, pytest.raises(PhoneRefused):
        await deliver("aliyun", MESSAGE, attempt, TIMEOUT_SECONDS)
    assert log == [
        {
            "log_level": "warning",
            "event": "the SMS provider refused the message",
            "provider": "aliyun",
            "phone": "138****8000",
            "provider_code": "isv.X",
            "message": "x" * 300,
            "request_id": "a-request",
            "hint": "do this",
        }
    ]


@every_kind
async def test_an_answer_without_an_end_is_none(kind: Kind) -> None:
    """It is not read any further than an answer could go: a provider that has gone mad must not take the memory."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:  # until the other side hangs up
            await response.write(b" " * 65_536)
            sent += 65_536

    async with wired(kind) as wire:
        wire.provider.reply = endless
        with pytest.raises(ServiceUnavailable):
            await wire.send()
        assert events(wire.log) == [UNCLEAR] and "more than 65536 bytes" in wire.log[0]["reason"]
    assert sent < 50_000_000  # what sockets hold on their way
