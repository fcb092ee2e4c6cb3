"""A bound on what an outside service may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.errors import ServiceUnavailable


@asynccontextmanager
async def deadline(service: str, seconds: float) -> AsyncIterator[None]:
    """Raises ServiceUnavailable, naming the service, when the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ServiceUnavailable(service=service, retry_after=5) from None
