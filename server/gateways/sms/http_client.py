"""POST requests to a provider, whose failures say whether the provider can have received the request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from server.gateways.sms.delivery import CONNECT_SECONDS, NotConnected, OutcomeUnknown

MAX_RESPONSE_BYTES = 64 * 1024  # a provider's response has a few hundred bytes

# Limits looking up the name and connecting. delivery.py limits the whole request.
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS)


@dataclass(frozen=True, slots=True)
class ProviderResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """An HTTP client that uses each connection once.

    The provider may have closed a connection that was kept open; then it would be unknown whether the message was
    sent. All requests share one connector, so that they also share the lookup of a name: a lookup cannot be cancelled,
    and many of them would keep the process from ending.
    """

    def __init__(self) -> None:
        self._connector: aiohttp.TCPConnector | None = None  # must be created while an event loop runs

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes | None = None) -> ProviderResponse:
        """Send one request and return the response.

        Raises NotConnected and OutcomeUnknown. Their texts name the host and no other part of the URL, which may
        contain secrets.
        """
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
                    skip_auto_headers=["Content-Type"],  # aiohttp would add one that the signature does not cover
                ) as session,
                session.post(url, headers=headers, data=body, allow_redirects=False) as response,
            ):
                return ProviderResponse(response.status, response.headers, await _read(response))
        except aiohttp.ClientConnectorError as fault:
            raise NotConnected(f"{type(fault).__name__}: {fault}") from None
        except aiohttp.ConnectionTimeoutError:
            raise NotConnected(f"no connection to {url.host} in {CONNECT_SECONDS} s") from None
        except aiohttp.ClientResponseError as fault:  # the text of this exception contains the whole URL
            raise OutcomeUnknown(f"{type(fault).__name__}: {fault.message}") from None
        except aiohttp.ClientError as fault:
            raise OutcomeUnknown(f"{type(fault).__name__}: {fault}") from None

    async def close(self) -> None:
        if self._connector is not None:
            await self._connector.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the whole body. Raises OutcomeUnknown when it is too long."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_RESPONSE_BYTES:
            raise OutcomeUnknown(f"the response has more than {MAX_RESPONSE_BYTES} bytes")
    return bytes(body)
