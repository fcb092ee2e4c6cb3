"""What all senders have in common: second attempts, reports of outages, and what is never logged."""

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
from tests.server.gateways.sms import aliyun_provider, tencent_provider, webhook_provider
from tests.server.gateways.sms.connected_sender import TIMEOUT_SECONDS, ProviderModule, connected_sender
from tests.server.gateways.sms.fake_provider import CODE, MINUTES, PHONE, Reply, disconnect, respond_never, respond_with

# The SDK of Tencent uses a function that newer versions of Python deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")

MESSAGE = LoginCodeMessage(PHONE, CODE, MINUTES)
AGAIN = ("warning", "no connection to the SMS provider; trying once more")
UNREACHED = ("error", "the SMS provider cannot be reached; check its URL and the network")
UNCLEAR = ("error", "the SMS provider's response is missing or unclear; the message may have been sent")
LATE = ("error", "the SMS provider did not answer in time; the message may have been sent")

every_provider = pytest.mark.parametrize(
    "provider", [tencent_provider, aliyun_provider, webhook_provider], ids=lambda module: module.__name__
)


def events(log: list[EventDict]) -> list[tuple[str, str]]:
    return [(line["log_level"], line["event"]) for line in log]


@every_provider
async def test_a_message_is_sent_once_and_logs_nothing(provider: ProviderModule) -> None:
    async with connected_sender(provider) as sms:
        await sms.send()
        assert (len(sms.provider.received), sms.log) == (1, [])


@every_provider
async def test_without_a_connection_there_are_two_attempts(provider: ProviderModule) -> None:
    async with connected_sender(provider, listening=False) as sms:
        with pytest.raises(ServiceUnavailable) as caught:
            await sms.send()
    assert events(sms.log) == [AGAIN, UNREACHED]
    assert caught.value.facts == {"service": "sms", "retry_after": 60}


@every_provider
async def test_the_second_attempt_can_succeed(provider: ProviderModule) -> None:
    listening: list[asyncio.Task[None]] = []

    def listen(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        """Runs between the attempts: from now on connections are accepted."""
        sms.provider.socket.listen()
        listening.append(asyncio.get_running_loop().create_task(sms.provider.listen()))
        return line

    async with connected_sender(provider, listening=False, processors=(listen,)) as sms:
        await sms.send()
    assert (events(sms.log), len(sms.provider.received), len(listening)) == ([AGAIN], 1, 1)


@every_provider
async def test_no_second_attempt_after_a_timeout(provider: ProviderModule) -> None:
    async with connected_sender(provider, seconds=1) as sms:
        sms.provider.reply = respond_never
        with pytest.raises(ServiceUnavailable):
            await sms.send()
        assert (events(sms.log), len(sms.provider.received)) == ([LATE], 1)


@every_provider
async def test_no_second_attempt_after_a_broken_connection(provider: ProviderModule) -> None:
    async with connected_sender(provider) as sms:
        sms.provider.reply = disconnect
        with pytest.raises(ServiceUnavailable):
            await sms.send()
        assert (events(sms.log), len(sms.provider.received)) == ([UNCLEAR], 1)


@every_provider
async def test_a_redirect_is_not_followed(provider: ProviderModule) -> None:
    async with connected_sender(provider) as sms:
        sms.provider.reply = respond_with("", 307, {"Location": f"{sms.provider.base}/elsewhere"})
        with pytest.raises(ServiceUnavailable):
            await sms.send()
        assert (sms.levels, len(sms.provider.received)) == (["error"], 1)


@every_provider
async def test_proxies_of_the_environment_are_not_used(
    provider: ProviderModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with connected_sender(provider) as sms:
        await sms.send()


@pytest.fixture
def all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Capture what every library logs, down to DEBUG."""
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    yield caplog


TELLTALE = f"{PHONE}: the template does not take {CODE}"
REPLIES = {
    "accepted": None,
    "tencent refuses the message": tencent_provider.status_response("FailedOperation.OtherError", TELLTALE),
    "tencent refuses the call": respond_with(tencent_provider.error_body("InternalError", TELLTALE)),
    "aliyun refuses": aliyun_provider.status_response("isv.INVALID_PARAMETERS", TELLTALE),
    "the code is telltale": aliyun_provider.status_response(TELLTALE),
    "an error page": respond_with(TELLTALE, 500),
    "a broken connection": disconnect,
}


@every_provider
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_neither_the_code_nor_the_phone_is_logged(
    provider: ProviderModule, reply: Reply | None, all_logs: pytest.LogCaptureFixture
) -> None:
    async with connected_sender(provider) as sms:
        sms.provider.reply = reply or sms.provider.reply
        problem = await traceback_of(sms.send())
    written = f"{sms.log} {[record.getMessage() for record in all_logs.records]} {problem}"
    assert CODE not in written
    assert PHONE not in written
    assert all(line["phone"] == "138****8000" for line in sms.log)


async def traceback_of(sending: object) -> str:
    """Return the whole traceback of the error that sending raises, with its causes."""
    assert asyncio.iscoroutine(sending)
    try:
        await sending
    except DomainError as error:
        return "".join(traceback.format_exception(error))
    return ""


@pytest.mark.parametrize("trouble", [NotConnected, OutcomeUnknown])
async def test_a_code_in_an_address_is_masked(trouble: type[Exception]) -> None:
    async def attempt(_: LoginCodeMessage) -> ProviderRefusal | None:
        raise trouble(f"Connection timeout to host https://a/?PhoneNumbers={PHONE}&TemplateParam=%22{CODE}%22")

    with capture_logs() as log:
        problem = await traceback_of(deliver("aliyun", MESSAGE, attempt, TIMEOUT_SECONDS))
    assert "https://a/?PhoneNumbers=138****8000&TemplateParam=%22******%22" in log[-1]["reason"]
    assert "ServiceUnavailable" in problem
    assert not any(secret in f"{log} {problem} {MESSAGE}" for secret in (CODE, PHONE))


async def test_a_providers_text_is_logged_shortened_with_a_hint() -> None:
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


@every_provider
async def test_reading_a_response_without_end_stops(provider: ProviderModule) -> None:
    """A provider that misbehaves must not fill the memory."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:  # until the client disconnects
            await response.write(b" " * 65_536)
            sent += 65_536

    async with connected_sender(provider) as sms:
        sms.provider.reply = endless
        with pytest.raises(ServiceUnavailable):
            await sms.send()
        assert events(sms.log) == [UNCLEAR] and "more than 65536 bytes" in sms.log[0]["reason"]
    assert sent < 50_000_000  # the buffers of the sockets
