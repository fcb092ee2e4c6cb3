"""One POST to a provider, told apart by whether it can have been received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from server.gateways.sms.delivery import CONNECT_SECONDS, NoAnswer, NotConnected

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)  # the whole has a limit in delivery.py


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def post(url: URL, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    """Raises NotConnected and NoAnswer.

    Each message has a connection of its own. A kept one may be dead by the next message, which nobody could tell from
    a message that went out; and messages are too few to miss the time.
    """
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=_TIMEOUT,
                trust_env=False,
                skip_auto_headers=["Content-Type"],  # a signature must cover it where it is there
            ) as session,
            session.post(url, headers=headers, data=body, allow_redirects=False) as response,
        ):
            return Answer(response.status, response.headers, await response.read())
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise NotConnected(f"{type(error).__name__}: {error}") from None
    except aiohttp.ClientError as error:
        raise NoAnswer(f"{type(error).__name__}: {error}") from None
