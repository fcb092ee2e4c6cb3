"""The HTTP client of `darkroom demo`."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp


class DemoFailed(Exception):
    """A step of the demo failed; the message says which one and why."""


class DemoClient:
    """Calls the API and returns the `data` of each response. Every method raises DemoFailed."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    def set_token(self, token: str) -> None:
        self._http.headers["Authorization"] = f"Bearer {token}"

    async def get(self, path: str) -> Any:
        return await self._fetch_data(self._http.get(path))

    async def post(self, path: str, body: dict[str, str]) -> Any:
        return await self._fetch_data(self._http.post(path, json=body))

    async def put(self, url: str, body: bytes, headers: dict[str, str]) -> Any:
        return await self._fetch_data(self._http.put(url, data=io.BytesIO(body), headers=headers))

    async def download(self, url: str) -> bytes:
        response, content = await self._send(self._http.get(url))
        if response.status != 200:
            raise DemoFailed(f"GET {response.url.path} returned status {response.status}")
        return content

    async def _fetch_data(self, request: Any) -> Any:
        response, raw = await self._send(request)
        call = f"{response.method} {response.url.path}"
        try:
            content = json.loads(raw)
            succeeded = content["success"]
        except (ValueError, TypeError, KeyError):
            raise DemoFailed(f"{call} did not return a response of Darkroom: {raw[:80]!r}") from None
        if not succeeded:
            error = content["error"]
            raise DemoFailed(f"{call} failed with error {error['code']}: {error['message']}")
        return content.get("data")

    async def _send(self, request: Any) -> tuple[aiohttp.ClientResponse, bytes]:
        try:
            async with request as response:
                return response, await response.read()
        except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
            raise DemoFailed(f"Darkroom did not respond: {fault!r}") from None


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[DemoClient]:
    async with aiohttp.ClientSession(base_url, headers={"Accept-Language": "en"}) as http:
        yield DemoClient(http)
