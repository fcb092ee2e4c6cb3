"""A time limit for calls to external services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.errors import ServiceUnavailable


@asynccontextmanager
async def deadline(service: str, seconds: float) -> AsyncIterator[None]:
    """Raise ServiceUnavailable with the name of the service when the block takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ServiceUnavailable(service=service, retry_after=5) from None
