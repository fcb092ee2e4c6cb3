"""One POST to a provider, told apart by whether it can have been received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from server.gateways.sms.delivery import CONNECT_SECONDS, NoAnswer, NotConnected

ANSWER_BYTES = 64 * 1024  # a provider says what it has to say in a few hundred

# From the name to the connection; the whole has a limit in delivery.py.
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Poster:
    """Posts on connections that are used once, and looks a name up once for all that wait for it.

    A kept connection may be dead by the next message, which nobody could tell from a message that went out; and
    messages are too few to miss the time. A look-up cannot be cancelled: many would keep the process from ending.
    """

    def __init__(self) -> None:
        self._connector: aiohttp.TCPConnector | None = None  # made where a loop runs

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Raises NotConnected and NoAnswer, whose texts hold nothing of the address but its host."""
        self._connector = self._connector or aiohttp.TCPConnector(force_close=True, limit=0)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=self._connector,
                    connector_owner=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=_TIMEOUT,
                    trust_env=False,
                    auto_decompress=False,
                    headers={"Accept-Encoding": "identity"},
                    skip_auto_headers=["Content-Type"],  # a signature must cover it where it is there
                ) as session,
                session.post(url, headers=headers, data=body, allow_redirects=False) as response,
            ):
                return Answer(response.status, response.headers, await _read(response))
        except aiohttp.ClientConnectorError as error:
            raise NotConnected(f"{type(error).__name__}: {error}") from None
        except aiohttp.ConnectionTimeoutError:
            raise NotConnected(f"no connection to {url.host} in {CONNECT_SECONDS} s") from None
        except aiohttp.ClientResponseError as error:  # its own text has the whole address in it
            raise NoAnswer(f"{type(error).__name__}: {error.message}") from None
        except aiohttp.ClientError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from None

    async def close(self) -> None:
        if self._connector is not None:
            await self._connector.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Raises NoAnswer for one that does not end."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > ANSWER_BYTES:
            raise NoAnswer(f"an answer of more than {ANSWER_BYTES} bytes")
    return bytes(body)
